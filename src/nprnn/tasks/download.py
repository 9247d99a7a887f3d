"""Fetching the MNIST files: mirror after mirror, and never believed before their checksum fits."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from nprnn.errors import DataError, InputError
from nprnn.tasks.idx import MNIST_MD5, open_content
from nprnn.tasks.transfer import CHUNK, BrokenError, RefusedError, Report, Transfers, drop, on_disk

MNIST_MIRRORS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Where `fetch_mnist` looks, in this order."""
MAX_CONTENT = 1 << 30
"""The most bytes a fetched file may unpack to while its checksum is taken."""
ATTEMPTS = 3
"""Tries per mirror when the connection breaks."""
RETRY_PAUSE = 1.0
"""Seconds between those tries."""


def cache_folder() -> Path:
    """The folder for fetched data: $NPRNN_CACHE, else $XDG_CACHE_HOME/nprnn, else ~/.cache/nprnn.

    Returns:
        The folder; it may not exist yet.

    Raises:
        DataError: None of the variables is set and the user has no home folder.
    """
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    named = Path(os.environ.get("NPRNN_CACHE") or f"{shared}/nprnn")
    try:
        return named.expanduser()
    except RuntimeError as error:
        raise DataError(f"no home folder to find {named} in; set NPRNN_CACHE to a folder for fetched data.") from error


def fetch_mnist(
    folder: Path | None = None,
    *,
    mirrors: Sequence[str] = MNIST_MIRRORS,
    context: ssl.SSLContext | None = None,
    report: Report | None = None,
) -> Path:
    """Fetch the four gzipped MNIST files, skipping those that are already there and right.

    Args:
        folder: Where to put them; by default ``cache_folder() / "mnist"``.
        mirrors: https addresses of folders that hold the files, tried in order.
        context: TLS settings; by default the system's trusted certificates.
        report: Called during each file with its bytes so far and in all.

    Returns:
        The folder.

    Raises:
        DataError: No mirror had a right file, or the folder cannot be written.
    """
    folder = cache_folder() / "mnist" if folder is None else folder
    for stem, md5 in MNIST_MD5.items():
        fetch(f"{stem}.gz", folder, mirrors=mirrors, md5=md5, context=context, report=report)
    return folder


def fetch(
    name: str,
    folder: Path,
    *,
    mirrors: Sequence[str],
    md5: str,
    context: ssl.SSLContext | None = None,
    timeout: float = 30.0,
    limit: int = 64 << 20,
    report: Report | None = None,
) -> Path:
    """Fetch one file over TLS from the first mirror that has it right; a broken transfer is resumed.

    Args:
        name: The file's name, at the mirrors and in ``folder``.
        folder: Where it goes; made if need be. What has arrived waits there as ``name.part``.
        mirrors: https addresses of folders, tried in order.
        md5: MD5 hex of the file's uncompressed content.
        context: TLS settings; they must verify certificate and host name. By default the system's.
        timeout: Seconds without a byte before a connection counts as broken.
        limit: The most bytes to accept, as transferred.
        report: Called with the bytes so far and in all.

    Returns:
        The path of the verified file. One that was already there and right costs no network access.

    Raises:
        InputError: ``name`` is not a plain file name, or ``context`` does not verify.
        DataError: A mirror is not https, no mirror had the right file, or the folder cannot be written.
    """
    if name in ("", ".", "..") or re.search(r"[/\\\x00]", name):
        raise InputError(f"expected a plain file name to fetch, got {name!r}.")
    target, part = folder / name, folder / f"{name}.part"
    with on_disk(target):
        if target.exists() and _fault(target, md5) is None:
            return target
    for mirror in mirrors:
        _require_https(mirror)
    transfers = Transfers(context, timeout, limit, report)
    with on_disk(part):
        folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for mirror in mirrors:
        url = mirror.removesuffix("/") + "/" + quote(name)
        try:
            _fetch_from(transfers, url, part, md5)
        except (RefusedError, BrokenError) as error:
            reasons.append(f"  {url}: {error}")
            continue
        with on_disk(part):
            os.replace(part, target)
        return target
    listed = "\n".join(reasons) or "  (no mirrors were given)"
    kept = f" The part that arrived is kept as {part} and will be resumed." if part.exists() else ""
    raise DataError(
        f"could not fetch {name}; each mirror failed:\n{listed}\n"
        f"Try again later, or put the files in a folder yourself and name it with --data-dir.{kept}"
    )


def _fetch_from(transfers: Transfers, url: str, part: Path, md5: str) -> None:
    """Leave the whole, verified file in ``part``, or raise."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            resumed = transfers.bring(url, part)
        except BrokenError as error:
            if attempt == ATTEMPTS:
                raise BrokenError(f"{error} ({ATTEMPTS} tries)") from error
            time.sleep(RETRY_PAUSE)
            continue
        fault = _fault(part, md5)
        if fault is None:
            return
        drop(part)
        # What this mirror sent was joined to older bytes, so the fault may be theirs: it gets one clean try.
        if not resumed or attempt == ATTEMPTS:
            raise RefusedError(fault)


def _fault(path: Path, md5: str) -> str | None:
    """What is wrong with a fetched file, or None."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with open_content(path) as content:
            while piece := content.read(CHUNK):
                digest.update(piece)
                size += len(piece)
                if size > MAX_CONTENT:
                    return f"it unpacks to more than {MAX_CONTENT} bytes"
    except DataError as error:
        return str(error)
    if digest.hexdigest() == md5.lower():
        return None
    return f"wrong content: uncompressed MD5 {digest.hexdigest()}, expected {md5.lower()}"


def _require_https(mirror: str) -> None:
    try:
        parts = urlsplit(mirror)
        good = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise DataError(
            f"expected the address of a mirror as https://host/folder/, got {mirror!r}; nothing was fetched."
        )
