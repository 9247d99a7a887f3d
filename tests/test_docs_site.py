"""The site that `make docs` builds: nothing from elsewhere, no dead link, every public name; read from a disk."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import nprnn
from conftest import ROOT, absent

pytestmark = pytest.mark.slow

# What a browser fetches by itself, by element and attribute. Of a <link> only what is used to show the page.
FETCHED = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
    ("object", "data"),
}
USED = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest", "modulepreload"}


class Document(HTMLParser):
    """What a page fetches, where it links to, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.styles = ""
        self._in_style = False
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.fetched += [value for name, value in given.items() if (tag, name) in FETCHED]
        if tag == "link" and USED & set(given.get("rel", "").split()):
            self.fetched.append(given["href"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.styles += given.get("style", "")
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        self.styles += data if self._in_style else ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; without the libraries it cannot be, and CI has them."""
    for name in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        if importlib.util.find_spec(name) is None:
            absent(f"THE SITE IS NOT BUILT: {name} is not installed (pip install -e '.[docs]')")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""
    return folder


@pytest.fixture(scope="module")
def documents(site: Path) -> dict[Path, Document]:
    return {path: Document(path) for path in site.rglob("*.html")}


def test_nothing_is_fetched_from_elsewhere(site: Path, documents: dict[Path, Document]) -> None:
    assert len(documents) > 40
    for path, document in documents.items():
        for address in document.fetched:
            parts = urlsplit(address)
            assert parts.scheme in ("", "data"), f"{path.name} fetches {address}"
            assert not parts.netloc, f"{path.name} fetches {address}"
            assert parts.scheme or _target(site, path, address).is_file(), f"{path.name} fetches {address}: not there"
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", document.styles), path
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", sheet.read_text()), sheet


def test_no_link_and_no_anchor_is_dead(site: Path, documents: dict[Path, Document]) -> None:
    followed = 0
    for path, document in documents.items():
        for address in document.links:
            parts = urlsplit(address)
            if parts.scheme or address in ("", "#"):
                continue
            assert not address.startswith("/"), f"{path.relative_to(site)} links to {address}: of a server's root"
            there = _target(site, path, address)
            assert there.is_file(), f"{path.relative_to(site)} links to {address}"
            if parts.fragment and there in documents:
                assert unquote(parts.fragment) in documents[there].anchors, f"{path.relative_to(site)}: {address}"
            followed += 1
    assert followed > 1000


def _target(site: Path, page: Path, address: str) -> Path:
    name = unquote(urlsplit(address).path)
    start = site if name.startswith("/") else page.parent
    return Path(os.path.normpath(start / name.lstrip("/"))) if name else page


def test_every_public_name_has_an_entry(site: Path, documents: dict[Path, Document]) -> None:
    tree = ast.parse(Path(nprnn.__file__).read_text())
    names = [alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    initialisers = [
        f"init.{name}" for name in vars(nprnn.init) if name.endswith("_") and name[0] != "_" and name not in names
    ]
    errors = [f"errors.{name}" for name in vars(nprnn.errors) if name.endswith("Error")]
    anchors = set().union(*(d.anchors for path, d in documents.items() if path.parent.name == "reference"))
    assert len(names) > 8
    assert len(initialisers) > 7
    assert len(errors) > 5
    assert {f"nprnn.{name}" for name in [*names, *initialisers, *errors]} <= anchors


def test_pages_of_results_are_there(site: Path) -> None:
    for page in [*ROOT.glob("results/*.md"), *ROOT.glob("results/*/*.md"), *ROOT.glob("results/*/*/*.md")]:
        name = "index" if page.stem == "README" else page.stem
        assert (site / page.relative_to(ROOT)).with_name(f"{name}.html").is_file(), page
    assert "mnist-rows" in (site / "results" / "runs.html").read_text()
    assert "nprnn train ucf101" in (site / "reference" / "commands.html").read_text()


def test_formulas_are_mathml(site: Path) -> None:
    theory = (site / "theory.html").read_text()
    assert theory.count("<math") > 40
    assert "mathcal" not in theory
    assert "$`" not in theory
    for page in site.glob("reference/*.html"):
        assert ":math:" not in page.read_text(), page
        assert ".. math::" not in page.read_text(), page


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        absent(f"THE SITE IS NOT READ IN A BROWSER: none of {', '.join(names)} is installed")
    if importlib.util.find_spec("playwright") is None:
        absent("THE SITE IS NOT READ IN A BROWSER: playwright is not installed (pip install -e '.[browser]')")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_reads_it_from_the_disk(site: Path, browser: object, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})  # type: ignore[attr-defined]
    asked: list[str] = []
    troubles: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    for name in ("index", "theory", "reference/modules", "results/fig3/index"):
        page.goto(f"file://{site}/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than the screen"
    assert asked
    assert all(address.startswith(("file:", "data:", "about:")) for address in asked), asked
    assert troubles == []


def test_the_search_works_from_the_disk(site: Path, browser: object) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})  # type: ignore[attr-defined]
    page.goto(f"file://{site}/index.html")
    page.keyboard.press("/")
    page.keyboard.type("Marchenko")
    page.locator(".md-search-result__link").first.wait_for(timeout=30_000)
    assert "theory.html" in page.locator(".md-search-result__link").first.get_attribute("href")
