"""What videos there are: a folder of class folders, as UCF-101 has it, or whatever an ``index.csv`` lists."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from nprnn.errors import ConfigError, DataError
from nprnn.video.index import KNOWN, Entry, Index, read_index
from nprnn.video.splits import Lists

SUFFIXES = frozenset([".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp"])
"""Endings of file names that make a file a video, whatever their case."""

_SHOWN = 10  # unused columns that a person is told of
_UCF = re.compile(r"v_(?P<label>.+)_g(?P<group>\d{1,9})_c\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Clip:
    """A video and what is known of it.

    Attributes:
        name: its path inside the folder, with ``/``; no other clip has it.
        path: where it is.
        label: name of its class.
        group: number of the source that it shares with others, or None.
        splits: by name of a split, train, valid or test.
    """

    name: str
    path: Path
    label: str
    group: int | None
    splits: Mapping[str, str]


class LeftOut(NamedTuple):
    """A clip that gives no features, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Layout:
    """The videos of a folder.

    Attributes:
        clips: to be read, by name.
        left_out: those that cannot be.
        about: what was found, in lines for a person.
    """

    clips: tuple[Clip, ...]
    left_out: tuple[LeftOut, ...]
    about: tuple[str, ...]


def find_clips(folder: Path, lists: Path | None = None) -> Layout:
    """The videos of a folder.

    Args:
        folder: class folders with videos in them, or an ``index.csv``, which then decides alone.
        lists: folder with the official split lists of UCF-101, or None.

    Returns:
        The clips, ordered by name.

    Raises:
        ConfigError: splits are given both by lists and by the index.
        DataError: no videos, or an index or lists that make no sense.
    """
    if not os.path.isdir(folder):
        raise DataError(f"{folder} is not a folder; expected class folders with videos in them, or an index.csv")
    index = folder / "index.csv"
    try:
        entries, unused = read_index(index) if os.path.lexists(index) else Index(_scan(folder), ())
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from error
    if lists is not None:
        if any(entry.splits for entry in entries):
            raise ConfigError(f"{index} has splits already; leave out --splits, or delete its columns of splits")
        entries = _with_lists(entries, Lists.read(lists), folder)
    clips, left_out = [], []
    for entry in entries:
        path = folder / entry.name
        if reason := entry.fault or unfit(path, entry.name):
            left_out.append(LeftOut(_printable(entry.name), reason))
        else:
            clips.append(Clip(entry.name, path.absolute(), entry.label, entry.group, entry.splits))
    clips.sort(key=lambda clip: clip.name)
    about = _about(clips, lists)
    if unused:
        some = ", ".join(unused[:_SHOWN]) + (f", ... ({len(unused)})" if len(unused) > _SHOWN else "")
        about.append(f"{index}: columns that are not used: {some}. Known: {KNOWN}")
    return Layout(tuple(clips), tuple(left_out), tuple(about))


def _scan(folder: Path) -> list[Entry]:
    """What class folders hold."""
    classes = sorted(path for path in folder.iterdir() if os.path.isdir(path) and not path.name.startswith("."))
    entries: list[Entry] = []
    spelt: dict[str, str] = {}
    for place in classes:
        names = sorted(n for n in os.listdir(place) if is_video(n))
        if not names:
            continue
        other = spelt.setdefault(place.name.casefold(), place.name)
        if other != place.name:
            raise DataError(f"{folder}: the folders {other} and {place.name} are one class by name; put them together")
        for name in names:
            entries.append(_clip_of(place.name, name))
    if not entries:
        raise DataError(
            f"{folder} holds no videos: expected an index.csv, or class folders with files such as "
            f"Archery/v_Archery_g01_c01.avi (endings: {' '.join(sorted(SUFFIXES))})"
        )
    return entries


def _clip_of(label: str, file: str) -> Entry:
    name = f"{label}/{file}"
    parts = _UCF.fullmatch(Path(file).stem)
    if parts is None:
        return Entry(name, label, None, {})
    # HandstandPushups holds v_HandStandPushups_...: case tells nothing.
    if parts["label"].casefold() != label.casefold():
        fault = f"its name says class {parts['label']}, its folder {label}; put it where it belongs"
        return Entry(name, label, None, {}, fault)
    return Entry(name, label, int(parts["group"]), {})


def is_video(name: str) -> bool:
    """Whether a file's name says that it is a video; hidden ones are somebody else's."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _with_lists(entries: list[Entry], lists: Lists, folder: Path) -> list[Entry]:
    listed = [
        replace(entry, splits=lists.sides(entry.name), label=lists.classes.get(entry.label.casefold(), entry.label))
        for entry in entries
    ]
    if not any(entry.splits for entry in listed):
        raise DataError(
            f"{lists.folder}: its lists name none of the {len(listed)} videos in {folder}; they name "
            f"{lists.example!r}, here is {listed[0].name!r}"
        )
    return listed


def unfit(path: Path, name: str) -> str:
    """Why a file cannot be a video, as far as can be told without opening it; or nothing."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not text in UTF-8; rename it"
    # Not Path.is_file and the like, which raise in a folder that may not be searched.
    if os.path.isfile(path):
        return "" if os.path.getsize(path) else "it is empty"
    if os.path.islink(path):
        return f"it is a link to {os.readlink(path)}, which is not a file"
    if os.path.isdir(path):
        return "it is a folder"
    # A pipe would be waited on for ever.
    return "it is neither a file nor a link to one" if os.path.exists(path) else "there is no such file"


def _printable(name: str) -> str:
    return name.encode(errors="replace").decode()


def _about(clips: list[Clip], lists: Path | None) -> list[str]:
    lines = []
    groupless = sum(clip.group is None for clip in clips)
    if groupless:
        lines.append(f"{groupless} of {len(clips)} clips have no group, so nothing keeps those of one source together")
    unlisted = sum(not clip.splits for clip in clips)
    if unlisted and (lists is not None or unlisted < len(clips)):
        lines.append(f"{unlisted} of {len(clips)} clips are on no side of any split")
    return lines
