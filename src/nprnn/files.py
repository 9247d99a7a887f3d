"""Writing files so that a kill or a full disk at any moment leaves the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

# What asking for a lock says on a file system that has none, as some of clusters.
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``. A device or pipe is written to instead: it must not become a file.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is as readable as any other file of the user's.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def keep_copy(path: Path, copy: Path) -> None:
    """Make ``copy`` the present content of ``path``, atomically and without writing it again where links allow.

    Raises:
        OSError: the folder cannot be written or the disk is full; an old ``copy`` is untouched.
    """
    temporary = copy.with_name(f".{copy.name}.link")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.link(path, temporary)
    except OSError:
        write_atomically(copy, path.read_bytes())
    else:
        os.replace(temporary, copy)
        # Where both are links to one file already, as after a kill at this place, replacing does nothing.
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
