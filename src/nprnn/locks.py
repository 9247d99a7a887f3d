"""Locks on files, so that two processes do not write to one folder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

# What asking for a lock says on a file system that has none, as some of clusters.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)
# Never through a link: the folder may be a stranger's. (Not every system knows these.)
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = False, needed: bool = False) -> Iterator[bool]:
    """Hold a lock on a file, which is made; tells whether it was to be had.

    Where the system has no locks it always is. One who wants other words for what goes wrong in asking, and not for
    what goes wrong while it is held, enters this by an ``ExitStack``.

    Args:
        path: the file.
        shared: let others hold it who share it too.
        wait: wait until it is to be had.
        needed: refuse a file system that has no locks, rather than go without.

    Raises:
        OSError: the file cannot be made or written, or its file system has no locks and they are ``needed``.
    """
    try:
        import fcntl
    except ImportError:  # not on this system: go without
        yield True
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _CAREFUL, 0o666)
    try:
        had = True
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            had = False
        except OSError as error:
            if needed or error.errno not in _NO_LOCKS:
                raise
        yield had
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file now, as far as can be told; changes nothing."""
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY | _CAREFUL)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
