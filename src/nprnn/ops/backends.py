"""Which kernels there are, which one runs, and why another does not."""

from __future__ import annotations


def instruction_sets() -> list[str]:
    """Instruction sets of this processor that the native module knows, the most capable last; empty without it."""
    try:
        from nprnn import _native
    except ImportError:
        return []
    return list(_native.instruction_sets())


def backend_status() -> dict[str, str]:
    """One line on each kernel and on the native module: in use, or why not.

    Returns:
        Name to status; ``reference`` is the definition in plain torch operations and runs for every device and dtype.
    """
    try:
        from nprnn import _native
    except ImportError as error:
        native = f"missing ({error}); install with a C++ compiler to have it"
    else:
        native = f"built with {_native.compiler}; this processor runs {', '.join(_native.instruction_sets())}"
    return {"reference": "in use for every device and dtype (plain torch operations)", "native module": native}
