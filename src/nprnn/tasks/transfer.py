"""One file from one address over verified TLS, resumed where an earlier transfer was cut off."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib import request as web
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from nprnn.errors import DataError, InputError

Report = Callable[[int, int | None], None]
"""Called with the bytes so far and the bytes in all, or None where the server does not say."""

CHUNK = 1 << 16
"""Bytes read at a time."""


class RefusedError(Exception):
    """This address will not do; go on to the next."""


class BrokenError(Exception):
    """The transfer broke off; trying the same address again may help."""


class _HttpsRedirects(web.HTTPRedirectHandler):
    """Follows redirects, but never out of TLS."""

    def redirect_request(
        self, req: web.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> web.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise RefusedError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Transfers:
    """Brings files over TLS.

    Args:
        context: TLS settings; they must verify certificate and host name. None means the system's.
        timeout: seconds without a byte before a connection counts as broken.
        limit: the most bytes to accept, as transferred.
        report: called with the bytes so far and in all.

    Raises:
        InputError: ``context`` does not verify.
    """

    def __init__(self, context: ssl.SSLContext | None, timeout: float, limit: int, report: Report | None) -> None:
        self._opener = _opener(context)
        self._timeout, self._limit, self._report = timeout, limit, report

    def bring(self, url: str, part: Path) -> bool:
        """One request, its body added to what has arrived before.

        Args:
            url: an https address.
            part: the file that holds what has arrived; made if need be.

        Returns:
            Whether that continued an older piece.

        Raises:
            RefusedError: the server will not give the file, or too large a one.
            BrokenError: not all of it came; what did is in ``part``.
            DataError: ``part`` cannot be written.
        """
        limit = self._limit
        with on_disk(part):
            have = part.stat().st_size if part.exists() else 0
        if have >= limit:
            drop(part)
            have = 0
        asked = web.Request(url, headers={"User-Agent": "nprnn", "Accept-Encoding": "identity"})
        if have:
            asked.add_header("Range", f"bytes={have}-")
        with self._connect(asked, part) as response:
            total: int | None = None
            if response.status == 206:
                given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
                if given is None or int(given[1]) != have:
                    drop(part)
                    raise BrokenError(f"it answered with another range than asked, from byte {have}")
                total = None if given[2] == "*" else int(given[2])
            else:
                have = 0
                total = response.length
            resumed = have > 0
            if total is not None and total > limit:
                raise RefusedError(f"it offers {total} bytes, over the limit of {limit}")
            with on_disk(part), part.open("ab" if resumed else "wb") as out:
                for piece in _pieces(response):
                    have += len(piece)
                    if have > limit:
                        break
                    out.write(piece)
                    if self._report is not None:
                        self._report(have, total)
        if have > limit:
            drop(part)
            raise RefusedError(f"it sends more than the limit of {limit} bytes")
        if total is not None and have < total:
            raise BrokenError(f"the connection ended after {have} of {total} bytes")
        return resumed

    def _connect(self, asked: web.Request, part: Path) -> http.client.HTTPResponse:
        try:
            response: http.client.HTTPResponse = self._opener.open(asked, timeout=self._timeout)
        except HTTPError as error:
            error.close()
            if error.code == 416 and asked.has_header("Range"):
                drop(part)
                raise BrokenError("it has no bytes after those already here") from error
            raise RefusedError(f"it answered {error.code} {error.reason}") from error
        except URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise RefusedError(f"its certificate is not trusted: {error.reason.verify_message}") from error
            raise RefusedError(f"no connection: {error.reason}") from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise BrokenError(f"the connection broke: {error!r}") from error
        return response


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read(CHUNK):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(f"the connection broke: {error!r}") from error


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
def on_disk(path: Path) -> Iterator[None]:
    """What goes wrong with a file in here is told as a ``DataError``."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}. What had arrived is kept. Free some space or allow "
            "writing there, or name another folder with --data-dir or NPRNN_CACHE."
        ) from error


def drop(part: Path) -> None:
    """Remove what has arrived."""
    with on_disk(part):
        part.unlink(missing_ok=True)
