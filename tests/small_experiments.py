"""What the files of small selection experiments share: two models, and claims that one is the better."""

from __future__ import annotations

HEAD = """
kind = "selection"
task = "ucf101"
models = ["IRNN", "np-RNN"]
unit = ["label", "group"]
"""


def claim(says: str, beyond: float = 0.0, arm: str = "") -> str:
    """Of np-RNN against IRNN: on test, or of the spread in an arm."""
    kind = f'kind = "spread"\narm = "{arm}"' if arm else 'kind = "test"'
    return f'\n[[claims]]\nsays = "{says}"\n{kind}\nbetter = "np-RNN"\nworse = "IRNN"\nbeyond = {beyond}\n'
