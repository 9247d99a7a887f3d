"""Locks on files: who gets one, who is told that it is held, and what happens where there are none."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from nprnn.locks import is_locked, locked


def test_one_has_it_and_another_is_told_until_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with locked(path) as first, locked(path) as second, locked(path, shared=True) as third:
        assert (first, second, third) == (True, False, False)
        assert is_locked(path)
    assert not is_locked(path)
    with locked(path) as again:
        assert again


def test_those_who_share_have_it_together_and_nobody_alone(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with locked(path, shared=True) as first, locked(path, shared=True) as second, locked(path) as alone:
        assert (first, second, alone) == (True, True, False)


def test_it_is_given_back_when_what_is_done_under_it_fails(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    assert not is_locked(path)


def test_asking_whether_it_is_held_makes_no_file(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / ".lock")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EIO])
def test_where_there_are_no_locks_one_goes_without_unless_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / ".lock"
    assert not is_locked(path)
    with pytest.raises(OSError, match=os.strerror(number)), locked(path, needed=True):
        pass
    if number == errno.EIO:
        with pytest.raises(OSError, match=os.strerror(number)), locked(path):
            pass
    else:
        with locked(path) as had:
            assert had


def test_a_link_in_the_lock_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / ".lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()
