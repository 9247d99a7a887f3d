"""Fetching over TLS, against a server on the loopback that misbehaves on request."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from nprnn.errors import DataError, InputError
from nprnn.tasks import download
from nprnn.tasks.download import cache_folder, fetch, fetch_mnist
from nprnn.tasks.idx import MNIST_MD5

CONTENT = bytes(range(256)) * 1200
MD5 = hashlib.md5(CONTENT).hexdigest()
BODY = gzip.compress(CONTENT, compresslevel=0)  # stored, so that there is enough of it to cut
NAME = "data.gz"


@dataclass
class Site:
    """What the server holds, how it behaves, and what it was asked."""

    base: str
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    lengths: bool = True
    cuts: list[int] = field(default_factory=list)
    silent: int = 0
    shift: int = 0
    refuse_ranges: bool = False
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, folder: str = "") -> str:
        return f"{self.base}/{folder}"


class Server(http.server.ThreadingHTTPServer):
    site: Site
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is expected here."""


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = 2.0

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        site, wanted = self.server.site, self.headers.get("Range")
        site.asked.append((self.path, wanted))
        if site.silent:
            site.silent -= 1
            return
        if self.path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[self.path])
            self.end_headers()
            return
        body = site.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = 0
        if wanted and site.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body) or site.refuse_ranges:
                self.send_error(416)
                return
            start += site.shift
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if site.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : start + site.cuts.pop(0)] if site.cuts else body[start:])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def site(authority: trustme.CA) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server(("127.0.0.1", 0), Handler) as server:
        # The handshake is left to the handler's thread, so that a client who refuses it cannot stall the rest.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.site = Site(f"https://127.0.0.1:{server.server_address[1]}", {f"/{NAME}": BODY})
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.site
        server.shutdown()
        thread.join(timeout=2)


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between tries, and no proxy of the machine's between the test and its server."""
    monkeypatch.setattr(download, "RETRY_PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")


def get(site: Site, folder: Path, trust: ssl.SSLContext, *folders: str, limit: int = 1 << 20) -> Path:
    mirrors = [site.url(name) for name in folders or ("",)]
    return fetch(NAME, folder, mirrors=mirrors, md5=MD5, context=trust, timeout=2.0, limit=limit)


def check(path: Path, folder: Path) -> None:
    assert path == folder / NAME
    assert path.read_bytes() == BODY
    assert [entry.name for entry in folder.iterdir()] == [NAME]


def fault(site: Site, folder: Path, trust: ssl.SSLContext, *folders: str, limit: int = 1 << 20) -> str:
    with pytest.raises(DataError) as caught:
        get(site, folder, trust, *folders, limit=limit)
    assert not (folder / NAME).exists()
    return str(caught.value)


def test_a_file_is_fetched_and_progress_reported(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    seen: list[tuple[int, int | None]] = []
    folder = tmp_path / "made" / "here"
    path = fetch(
        NAME, folder, mirrors=[site.url()], md5=MD5.upper(), context=trust, report=lambda *now: seen.append(now)
    )
    check(path, folder)
    assert site.asked == [(f"/{NAME}", None)]
    assert seen[-1] == (len(BODY), len(BODY))
    assert [now for now, _ in seen] == sorted({now for now, _ in seen})


def test_a_raw_file_is_verified_too(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.files[f"/{NAME}"] = CONTENT
    assert get(site, tmp_path, trust).read_bytes() == CONTENT


def test_no_length_is_needed(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.lengths = False
    check(get(site, tmp_path, trust), tmp_path)


def test_a_cut_connection_is_resumed(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.cuts = [100_000, 50_000]
    check(get(site, tmp_path, trust), tmp_path)
    assert site.asked == [(f"/{NAME}", wanted) for wanted in (None, "bytes=100000-", "bytes=150000-")]


def test_what_arrived_is_kept_for_the_next_run(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.cuts = [1000, 1000, 1000]
    message = fault(site, tmp_path, trust)
    part = tmp_path / f"{NAME}.part"
    assert f"ended after 3000 of {len(BODY)} bytes (3 tries)" in message
    assert str(part) in message
    assert part.read_bytes() == BODY[:3000]
    check(get(site, tmp_path, trust), tmp_path)
    assert site.asked[-1] == (f"/{NAME}", "bytes=3000-")


def test_a_server_that_hangs_up_first_is_tried_again(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.silent = 2
    check(get(site, tmp_path, trust), tmp_path)
    assert len(site.asked) == 3


def test_a_server_without_ranges_starts_again(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.ranges = False
    site.cuts = [70_000]
    check(get(site, tmp_path, trust), tmp_path)
    assert [wanted for _, wanted in site.asked] == [None, "bytes=70000-"]


@pytest.mark.parametrize("have", [len(BODY), len(BODY) + 7])
def test_416_starts_again(site: Site, tmp_path: Path, trust: ssl.SSLContext, have: int) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * have)
    check(get(site, tmp_path, trust), tmp_path)
    assert [wanted for _, wanted in site.asked] == [f"bytes={have}-", None]


def test_another_range_than_asked_is_not_joined(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(BODY[:500])
    site.shift = 3
    check(get(site, tmp_path, trust), tmp_path)
    assert [wanted for _, wanted in site.asked] == ["bytes=500-", None]


def test_a_stale_part_does_not_cost_the_mirror(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"stale")
    check(get(site, tmp_path, trust), tmp_path)
    assert [wanted for _, wanted in site.asked] == ["bytes=5-", None]


def test_a_part_over_the_limit_is_dropped(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(bytes(2 << 20))
    check(get(site, tmp_path, trust), tmp_path)
    assert site.asked == [(f"/{NAME}", None)]


@pytest.mark.parametrize(
    "wrong",
    [gzip.compress(b"something else"), BODY[:-1], b"<html>login</html>", b""],
    ids=["other", "short", "html", "empty"],
)
def test_a_wrong_checksum_goes_to_the_next_mirror(
    site: Site, tmp_path: Path, trust: ssl.SSLContext, wrong: bytes
) -> None:
    site.files[f"/bad/{NAME}"] = wrong
    assert "bad" in fault(site, tmp_path, trust, "bad/")
    assert list(tmp_path.iterdir()) == []
    site.asked.clear()
    check(get(site, tmp_path, trust, "bad/", ""), tmp_path)
    assert site.asked == [(f"/bad/{NAME}", None), (f"/{NAME}", None)]


def test_content_is_unpacked_only_so_far(
    site: Site, tmp_path: Path, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_CONTENT", 1 << 20)
    site.files[f"/{NAME}"] = gzip.compress(bytes(8 << 20))
    assert "unpacks to more than 1048576 bytes" in fault(site, tmp_path, trust)


def test_an_untrusted_certificate_is_refused(site: Site, tmp_path: Path) -> None:
    message = fault(site, tmp_path, ssl.create_default_context())
    assert "certificate is not trusted" in message
    assert site.asked == []
    with pytest.raises(DataError, match="certificate is not trusted"):
        fetch(NAME, tmp_path, mirrors=[site.url()], md5=MD5)


def test_a_certificate_for_another_host_is_refused(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    mirror = site.url().replace("127.0.0.1", "localhost")
    with pytest.raises(DataError, match="certificate is not trusted"):
        fetch(NAME, tmp_path, mirrors=[mirror], md5=MD5, context=trust)
    assert site.asked == []


def test_verification_cannot_be_turned_off(site: Site, tmp_path: Path) -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    for mode in (ssl.CERT_REQUIRED, ssl.CERT_NONE):
        lax.verify_mode = mode
        with pytest.raises(InputError, match="verifies certificate"):
            get(site, tmp_path, lax)
    assert site.asked == []


@pytest.mark.parametrize(
    "mirror",
    ["http://127.0.0.1/", "file:///etc/", "ftp://127.0.0.1/", "/tmp", "https://", "https://[/", "https://h:x/"],
)
def test_only_https_mirrors(site: Site, tmp_path: Path, trust: ssl.SSLContext, mirror: str) -> None:
    with pytest.raises(DataError, match=re.escape(repr(mirror))):
        fetch(NAME, tmp_path, mirrors=[site.url(), mirror], md5=MD5, context=trust)
    assert site.asked == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/data.gz", "file:///etc/hostname", "ftp://127.0.0.1/data.gz"])
def test_a_redirect_out_of_https_is_refused(site: Site, tmp_path: Path, trust: ssl.SSLContext, place: str) -> None:
    site.redirects[f"/{NAME}"] = place
    message = fault(site, tmp_path, trust)
    assert "302" in message or f"redirects to {place}, which is not https" in message
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_within_https_is_followed(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.redirects[f"/moved/{NAME}"] = site.url(NAME)
    (tmp_path / f"{NAME}.part").write_bytes(BODY[:10])
    check(get(site, tmp_path, trust, "moved"), tmp_path)
    assert site.asked == [(f"/moved/{NAME}", "bytes=10-"), (f"/{NAME}", "bytes=10-")]


def test_a_redirect_loop_ends(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.redirects[f"/{NAME}"] = site.url(NAME)
    assert "302" in fault(site, tmp_path, trust)
    assert len(site.asked) < 20


def test_an_offer_over_the_limit_is_refused(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    assert f"offers {len(BODY)} bytes, over the limit of 999" in fault(site, tmp_path, trust, limit=999)
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_limit_is_cut_off(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.lengths = False
    seen: list[int] = []
    with pytest.raises(DataError, match="sends more than the limit of 100000 bytes"):
        fetch(
            NAME,
            tmp_path,
            mirrors=[site.url()],
            md5=MD5,
            context=trust,
            limit=100_000,
            report=lambda have, _: seen.append(have),
        )
    assert 0 < max(seen) <= 100_000
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_offer_over_the_limit_is_refused(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(BODY[:10])
    assert f"offers {len(BODY)} bytes" in fault(site, tmp_path, trust, limit=999)


def test_a_right_file_costs_no_request(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / NAME).write_bytes(BODY)
    check(get(site, tmp_path, trust), tmp_path)
    assert fetch(NAME, tmp_path, mirrors=[], md5=MD5) == tmp_path / NAME
    assert site.asked == []


def test_a_wrong_file_is_replaced(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / NAME).write_bytes(BODY[:-9])
    check(get(site, tmp_path, trust), tmp_path)
    assert len(site.asked) == 1


def test_a_wrong_file_stays_until_a_right_one_is_there(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / NAME).write_bytes(b"mine")
    site.files.clear()
    with pytest.raises(DataError):
        get(site, tmp_path, trust)
    assert (tmp_path / NAME).read_bytes() == b"mine"


def test_all_mirrors_down_lists_every_reason(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    site.files[f"/bad/{NAME}"] = gzip.compress(b"other")
    mirrors = ["https://127.0.0.1:1/x/", site.url("gone/"), site.url("bad/")]
    with pytest.raises(DataError) as caught:
        fetch(NAME, tmp_path, mirrors=mirrors, md5=MD5, context=trust, timeout=1.0)
    lines = str(caught.value).splitlines()
    assert f"could not fetch {NAME}" in lines[0]
    for line, mirror, reason in zip(lines[1:], mirrors, ("no connection", "404", "wrong content"), strict=False):
        assert f"{mirror}{NAME}: " in line
        assert reason in line
    assert hashlib.md5(b"other").hexdigest() in lines[3]
    assert MD5 in lines[3]
    assert "--data-dir" in lines[-1]


def test_no_mirrors_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no mirrors were given"):
        fetch(NAME, tmp_path, mirrors=[], md5=MD5)


@pytest.mark.parametrize("name", ["", ".", "..", "../up.gz", "a/b", "a\\b", "/etc/x", "a\0b"])
def test_only_plain_names(site: Site, tmp_path: Path, trust: ssl.SSLContext, name: str) -> None:
    with pytest.raises(InputError, match="plain file name"):
        fetch(name, tmp_path, mirrors=[site.url()], md5=MD5, context=trust)
    assert site.asked == []


def test_an_unwritable_folder_is_told(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / "file").write_bytes(b"")
    message = fault(site, tmp_path / "file" / "in", trust)
    assert "cannot write" in message
    assert "Not a directory" in message
    assert "--data-dir" in message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_told(site: Site, tmp_path: Path, trust: ssl.SSLContext) -> None:
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    message = fault(site, tmp_path, trust)
    assert "cannot write" in message
    assert "No space left on device" in message
    assert (tmp_path / f"{NAME}.part").is_symlink()
    assert len(site.asked) == 1


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("NPRNN_CACHE", "")
    assert cache_folder() == tmp_path / ".cache" / "nprnn"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "nprnn"
    monkeypatch.setenv("NPRNN_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("NPRNN_CACHE", "~nobody-of-that-name/x")
    with pytest.raises(DataError, match="set NPRNN_CACHE"):
        cache_folder()


def test_the_four_files_go_to_the_cache(
    site: Site, tmp_path: Path, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPRNN_CACHE", str(tmp_path))
    contents = {stem: stem.encode() * 50 for stem in MNIST_MD5}
    sums = {stem: hashlib.md5(content).hexdigest() for stem, content in contents.items()}
    monkeypatch.setattr(download, "MNIST_MD5", sums)
    site.files.update({f"/mnist/{stem}.gz": gzip.compress(content) for stem, content in contents.items()})
    assert fetch_mnist(mirrors=[site.url("mnist/")], context=trust) == tmp_path / "mnist"
    for stem, content in contents.items():
        assert gzip.decompress((tmp_path / "mnist" / f"{stem}.gz").read_bytes()) == content
    assert fetch_mnist(tmp_path / "mnist", mirrors=[site.url("gone/")], context=trust) == tmp_path / "mnist"
    assert len(site.asked) == 4


def test_the_mirrors_are_https() -> None:
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in download.MNIST_MIRRORS)
