"""Small feature stores whose clips are named and divided as UCF-101's are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nprnn.feature_store import ClipRow, FeatureStore

CLASSES = ("Archery", "Biking", "Diving")
WIDTH = 6


def rows(groups: Iterable[int] = range(1, 26), lengths: tuple[int, ...] = (3, 4, 5)) -> list[ClipRow]:
    """Clips named and divided as UCF-101's are."""
    found = []
    for group in groups:
        for k, label in enumerate(CLASSES):
            splits = {f"0{n + 1}": "test" if 7 * n < group <= 7 * n + 7 else "train" for n in range(3)}
            length = lengths[(group + k) % len(lengths)]
            found.append(ClipRow(f"v_{label}_g{group:02}_c01", label, group, splits, length))
    return found


def made(folder: Path, clips: list[ClipRow] | None = None, *, spoilt: Iterable[str] = (), width: int = WIDTH) -> Path:
    """A store in which a class shows in its first features; ``spoilt`` clips have features that are nothing like it."""
    store = FeatureStore.create(folder, {"made": "up"}, width)
    spoilt = set(spoilt)
    with store.lock():
        for row in clips or rows():
            generator = np.random.default_rng(list(row.name.encode()))
            x = generator.normal(size=(row.length, width))
            x[:, number_of(row.label) % width] += 3
            store.append(row, -100 * np.abs(x) if row.name in spoilt else x)
    return folder


def number_of(label: str) -> int:
    return sorted({*CLASSES, label}).index(label)
