"""New videos, of which nothing is known but where they are: files that a user names, and folders of files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nprnn.errors import DataError
from nprnn.video.layout import SUFFIXES, LeftOut, is_video, unfit

_TABLES = frozenset([".npz", ".npy", ".csv", ".tsv", ".txt", ".json", ".onnx", ".safetensors"])


class NewVideo(NamedTuple):
    """A video.

    Attributes:
        name: its path inside the folder that was named, or its file's name; no other of them has it.
        path: where it is.
    """

    name: str
    path: Path


def new_videos(paths: Sequence[Path]) -> tuple[list[NewVideo], list[LeftOut]]:
    """The videos that are meant.

    Args:
        paths: video files, and folders, of which every video at any depth is meant.

    Returns:
        The videos, each once, in the order of ``paths`` and by name in a folder; and what is none, as far as can be
        told without opening it.

    Raises:
        DataError: a folder without videos, or a file of sequences or the like.
    """
    found = list(dict.fromkeys(entry for path in paths for entry in _meant(path)))
    counts = Counter(name for name, _ in found)
    videos: dict[Path, NewVideo] = {}
    left_out = []
    for short, path in found:
        whole = Path(os.path.abspath(path))
        # Two of one name are told apart by all of their paths.
        name = short if counts[short] == 1 else "/".join(whole.parts[1:])
        if reason := unfit(path, name):
            left_out.append(LeftOut(name.encode(errors="replace").decode(), reason))
        else:
            videos.setdefault(whole, NewVideo(name, whole))
    return list(videos.values()), left_out


def _meant(path: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of what a path stands for."""
    if not os.path.isdir(path):
        if path.suffix.lower() in _TABLES:
            raise DataError(
                f"{path} is no video: the run's network was trained on videos, so name video files "
                f"({' '.join(sorted(SUFFIXES))}) or folders of them"
            )
        yield path.name, path
        return
    none = True
    for place, folders, files in os.walk(path, onerror=_refuse):
        inside = Path(place)
        # A folder that is called like a video is none, and is told of; what is hidden is somebody else's.
        odd = [name for name in folders if is_video(name)]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in odd)
        for name in sorted([*files, *odd]):
            if is_video(name):
                none = False
                yield (inside / name).relative_to(path).as_posix(), inside / name
    if none:
        raise DataError(f"{path} holds no videos (endings: {' '.join(sorted(SUFFIXES))})")


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {error.strerror or error}") from error
