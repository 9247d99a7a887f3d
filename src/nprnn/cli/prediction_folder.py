"""What is written of predictions for videos: of each a record, a table and a picture, and a table of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nprnn.errors import NprnnError, RunError
from nprnn.files import write_atomically
from nprnn.reporting import ClipScores, as_csv, clip_picture, frames_to_show
from nprnn.video import NewVideo, thumbnails


class PredictionFolder:
    """The folder of predictions.

    Args:
        folder: it; made when the first is written.
        suffix: behind the names of videos, before the ending.
        about: what every record says.
        top: classes to name and to draw.
        pictures: whether to draw.
    """

    def __init__(self, folder: Path, suffix: str, about: Mapping[str, Any], top: int, pictures: bool) -> None:
        self.folder = folder
        self.top = top
        self._suffix = suffix
        self._about = about
        self._pictures = pictures

    def put(self, video: NewVideo, scores: ClipScores, remark: str) -> dict[str, Path]:
        """Write what is known of a video; returns the files by what they are.

        Raises:
            RunError: the folder cannot be written.
        """
        name = f"{video.name}{self._suffix}"
        record = {**self._about, "path": str(video.path), "remark": remark, **scores.as_record(self.top)}
        files = {
            "record": self.write(f"{name}.json", json.dumps(record, indent=1).encode()),
            "scores over time": self.write(f"{name}.csv", as_csv(scores.rows()).encode()),
        }
        if self._pictures:
            files["picture"] = self.write(f"{name}.png", self._picture(video, scores))
        return files

    def put_table(self, told: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> Path:
        """Write a table of (video, its likeliest classes with their probabilities).

        Raises:
            RunError: the folder cannot be written.
        """
        rows = []
        for name, best in told:
            row: dict[str, Any] = {"clip": name}
            for rank, (action, probability) in enumerate(best, 1):
                row |= {f"class{rank}": action, f"probability{rank}": round(probability, 6)}
            rows.append(row)
        return self.write(f"predictions{self._suffix}.csv", as_csv(rows).encode())

    def _picture(self, video: NewVideo, scores: ClipScores) -> bytes:
        places = frames_to_show(scores)
        try:
            shown = thumbnails(video.path, [scores.frames[place] for place in places])
        except NprnnError:
            # It is gone since it was read; the scores are not.
            shown = []
        steps = f"{len(scores.frames)} frames" if len(scores.frames) > 1 else "1 frame"
        about = f"{steps}, {self._about['model']} after {self._about['update']} updates"
        return clip_picture(scores, dict(zip(places, shown, strict=False)), about, self.top)

    def write(self, name: str, content: bytes) -> Path:
        """Put a file into the folder, atomically."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error
        return path
