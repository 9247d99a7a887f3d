"""Fetching the MNIST files over verified TLS: resumed when cut off, and never believed before their checksum fits."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib import request as web
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

from nprnn.errors import DataError, InputError
from nprnn.tasks.idx import MNIST_MD5, open_content

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

Report = Callable[[int, int | None], None]
"""Called with the bytes so far and the bytes in all, or None where the server does not say."""

_CHUNK = 1 << 16


class _RefusedError(Exception):
    """This mirror will not do; go on to the next."""


class _BrokenError(Exception):
    """The transfer broke off; trying the same mirror again may help."""


class _HttpsRedirects(web.HTTPRedirectHandler):
    """Follows redirects, but never out of TLS."""

    def redirect_request(
        self, req: web.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> web.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise _RefusedError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


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
    with _on_disk(target):
        if target.exists() and _fault(target, md5) is None:
            return target
    for mirror in mirrors:
        _require_https(mirror)
    opener = _opener(context)
    with _on_disk(part):
        folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for mirror in mirrors:
        url = mirror.removesuffix("/") + "/" + quote(name)
        try:
            _fetch_from(opener, url, part, md5, timeout, limit, report)
        except (_RefusedError, _BrokenError) as error:
            reasons.append(f"  {url}: {error}")
            continue
        with _on_disk(part):
            os.replace(part, target)
        return target
    listed = "\n".join(reasons) or "  (no mirrors were given)"
    kept = f" The part that arrived is kept as {part} and will be resumed." if part.exists() else ""
    raise DataError(
        f"could not fetch {name}; each mirror failed:\n{listed}\n"
        f"Try again later, or put the files in a folder yourself and name it with --data-dir.{kept}"
    )


def _fetch_from(
    opener: web.OpenerDirector, url: str, part: Path, md5: str, timeout: float, limit: int, report: Report | None
) -> None:
    """Leave the whole, verified file in ``part``, or raise."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            resumed = _transfer(opener, url, part, timeout, limit, report)
        except _BrokenError as error:
            if attempt == ATTEMPTS:
                raise _BrokenError(f"{error} ({ATTEMPTS} tries)") from error
            time.sleep(RETRY_PAUSE)
            continue
        fault = _fault(part, md5)
        if fault is None:
            return
        _drop(part)
        # What this mirror sent was joined to older bytes, so the fault may be theirs: it gets one clean try.
        if not resumed or attempt == ATTEMPTS:
            raise _RefusedError(fault)


def _transfer(
    opener: web.OpenerDirector, url: str, part: Path, timeout: float, limit: int, report: Report | None
) -> bool:
    """One request, its body added to ``part``; whether that continued an older piece."""
    with _on_disk(part):
        have = part.stat().st_size if part.exists() else 0
    if have >= limit:
        _drop(part)
        have = 0
    asked = web.Request(url, headers={"User-Agent": "nprnn", "Accept-Encoding": "identity"})
    if have:
        asked.add_header("Range", f"bytes={have}-")
    with _connect(opener, asked, part, timeout) as response:
        total: int | None = None
        if response.status == 206:
            given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
            if given is None or int(given[1]) != have:
                _drop(part)
                raise _BrokenError(f"it answered with another range than asked, from byte {have}")
            total = None if given[2] == "*" else int(given[2])
        else:
            have = 0
            total = response.length
        resumed = have > 0
        if total is not None and total > limit:
            raise _RefusedError(f"it offers {total} bytes, over the limit of {limit}")
        with _on_disk(part), part.open("ab" if resumed else "wb") as out:
            for piece in _pieces(response):
                have += len(piece)
                if have > limit:
                    break
                out.write(piece)
                if report is not None:
                    report(have, total)
    if have > limit:
        _drop(part)
        raise _RefusedError(f"it sends more than the limit of {limit} bytes")
    if total is not None and have < total:
        raise _BrokenError(f"the connection ended after {have} of {total} bytes")
    return resumed


def _connect(opener: web.OpenerDirector, asked: web.Request, part: Path, timeout: float) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = opener.open(asked, timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code == 416 and asked.has_header("Range"):
            _drop(part)
            raise _BrokenError("it has no bytes after those already here") from error
        raise _RefusedError(f"it answered {error.code} {error.reason}") from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _RefusedError(f"its certificate is not trusted: {error.reason.verify_message}") from error
        raise _RefusedError(f"no connection: {error.reason}") from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _BrokenError(f"the connection broke: {error!r}") from error
    return response


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read(_CHUNK):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"the connection broke: {error!r}") from error


def _fault(path: Path, md5: str) -> str | None:
    """What is wrong with a fetched file, or None."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with open_content(path) as content:
            while piece := content.read(_CHUNK):
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


def _opener(context: ssl.SSLContext | None) -> web.OpenerDirector:
    context = ssl.create_default_context() if context is None else context
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise InputError("expected a TLS context that verifies certificate and host name; add your CA to it instead.")
    # Put together by hand: the ready-made opener would also read http, ftp, data and file addresses.
    opener = web.OpenerDirector()
    handlers: tuple[Any, ...] = (
        web.ProxyHandler(),
        web.UnknownHandler(),
        web.HTTPSHandler(context=context),
        web.HTTPDefaultErrorHandler(),
        _HttpsRedirects(),
        web.HTTPErrorProcessor(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    return opener


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}. What had arrived is kept. Free some space or allow "
            "writing there, or name another folder with --data-dir or NPRNN_CACHE."
        ) from error


def _drop(part: Path) -> None:
    with _on_disk(part):
        part.unlink(missing_ok=True)
