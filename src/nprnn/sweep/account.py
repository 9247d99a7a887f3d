"""``sweep.json``: an account of a sweep for people and programs, written while it runs."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nprnn.files import parse_json, write_atomically
from nprnn.sweep.board import Board
from nprnn.sweep.parts import Part

ACCOUNT = "sweep.json"
FORMAT = 1
_SECONDS_BETWEEN = 2.0
# Writing may take this share of the time at most.
_SHARE = 0.005


class Account:
    """The account of a sweep's folder. A full disk does not end the sweep: it is told, and tried again.

    Args:
        folder: the sweep's folder.
        task_name: name of the task.
        board: the state to tell of.
        workers: processes at once.
        planning: seconds that it took to get here.
        device: where they compute.
        part: which part of the sweep it tells of; None is all.

    Attributes:
        path: of its file.
        trouble: why the last writing failed, or "".
    """

    def __init__(
        self,
        folder: Path,
        task_name: str,
        board: Board,
        workers: int,
        planning: float,
        device: str = "cpu",
        part: Part | None = None,
    ) -> None:
        self.trouble = ""
        self.path = folder / (ACCOUNT if part is None else f"sweep-{part.number}-of-{part.of}.json")
        self._task_name = task_name
        self._board = board
        self._began, self._cpu = time.monotonic(), time.process_time()
        self._shards: list[dict[str, Any]] = []
        self._session: dict[str, Any] = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "workers": workers,
            "device": device,
            "planning_seconds": round(planning, 3),
            "shards": self._shards,
        }
        # A session that finds nothing to do is none.
        own = [self._session] if any(standing.open for standing in board.standings) else []
        self._sessions = [*_earlier(self.path), *own]
        self._due = 0.0

    def shard(self, **facts: Any) -> None:
        """Add what a worker's process has cost."""
        self._shards.append(facts)

    def save(self, *, now: bool = False) -> None:
        """Write the account if it is time, or now."""
        began = time.monotonic()
        if not now and began < self._due:
            return
        self._session["seconds"] = round(began - self._began, 3)
        self._session["parent_cpu_seconds"] = round(time.process_time() - self._cpu, 3)
        try:
            write_atomically(self.path, json.dumps(self._content(), separators=(",", ":")).encode())
            self.trouble = ""
        except OSError as error:
            self.trouble = f"cannot write {self.path}: {error.strerror or error}; the runs themselves go on"
        ended = time.monotonic()
        self._due = ended + max(_SECONDS_BETWEEN, (ended - began) / _SHARE)

    def _content(self) -> dict[str, Any]:
        pairs = zip(self._board.members, self._board.standings, strict=True)
        members = [
            {
                "settings": dict(member.varied),
                "folder": standing.folder,
                "state": standing.state,
                "update": standing.update,
                "updates": member.config.updates,
                "error": standing.error,
                "best": None if standing.best is None else standing.best._asdict(),
            }
            for member, standing in pairs
        ]
        return {"format": FORMAT, "task": self._task_name, "members": members, "sessions": self._sessions}


def read_account(folder: Path) -> dict[str, Any] | None:
    """The account in a sweep's folder; None where there is none that can be read, for nothing depends on it."""
    return _read(folder / ACCOUNT)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def _earlier(path: Path) -> list[Any]:
    sessions = (_read(path) or {}).get("sessions")
    return sessions if isinstance(sessions, list) else []
