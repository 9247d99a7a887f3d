"""What mkdocs calls while it builds the site: brings results/ in, makes pages, mends links, sets formulas."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import made_pages
from formulas import Formulas
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from page_links import ROOT, rewritten, site_uri

log = logging.getLogger("mkdocs.hooks.nprnn")
SCRIPT = "assets/search_from_file.js"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages and docstrings have formulas; the search works without a server; no page of results/ is left out."""
    config.markdown_extensions.append(Formulas())  # type: ignore[arg-type]
    config.extra["polyfills"] = [SCRIPT]
    # A page that an experiment has written since has its place too.
    section = next(part["Reproduction"] for part in config.nav or [] if "Reproduction" in part)
    known = json.dumps(config.nav)
    section += [path for path in made_pages.pages_of_results() if f'"{path}"' not in known]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in docs/."""
    pages = made_pages.pages_of_results()
    own = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    for path in [*pages, "CHANGELOG.md", *made_pages.files_linked([*pages, *own, "CHANGELOG.md"])]:
        uri = site_uri(path)
        if uri is not None and files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    made = {
        "results/runs.md": made_pages.measured,
        "results/bench/shapes.md": made_pages.speed,
        "reference/commands.md": made_pages.commands,
    }
    for uri, make in made.items():
        files.append(File.generated(config, uri, content=make()))
    script = Path(__file__).with_name("search_from_file.js")
    files.append(File.generated(config, SCRIPT, abs_src_path=str(script)))
    style = Path(__file__).with_name("style.css")
    files.append(File.generated(config, "assets/style.css", abs_src_path=str(style)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend the links of a page that has a file in the repository."""
    uri = page.file.src_uri
    path = "CHANGELOG.md" if uri == "changelog.md" else uri if uri.startswith("results/") else f"docs/{uri}"
    return rewritten(path, markdown, log.warning)


def on_post_build(config: MkDocsConfig) -> None:
    """Put the search's index where a page that no server sends can read it: into a script.

    The page of the theme for addresses that are not there goes: its links begin at a server's root.
    """
    (Path(config.site_dir) / "404.html").unlink(missing_ok=True)
    folder = Path(config.site_dir) / "search"
    index = (folder / "search_index.json").read_text()
    (folder / "search_index.js").write_text(f"var __index = {index}")
