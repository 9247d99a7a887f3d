"""Triton 3.6's interpreter on today's numpy."""

from __future__ import annotations

from typing import Any


def mend() -> None:
    """Let scalars be counts of a loop again: the interpreter keeps them as arrays of one number, [1], and numpy 2.4 no
    longer makes an integer of these.
    """
    from triton.runtime import interpreter

    original = interpreter._patch_lang_tensor
    if getattr(original, "mended", False):
        return

    def patch(tensor: Any, scope: Any) -> None:
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    patch.mended = True  # type: ignore[attr-defined]
    interpreter._patch_lang_tensor = patch
