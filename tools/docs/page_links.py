"""Links of a page, which are right in the repository, made right on the site.

The site has docs/ at its root and results/ beside it. A link that leaves both is told as text with the file's path.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A link or picture; what is between two fences, or two backticks, is none.
_CODE = r"^```.*?^```|``[^`]*(?:`[^`]+)*``|`[^`\n]*`"
_LINK = r"(?P<kind>!?)\[(?P<text>(?:[^\[\]`]|`[^`]*`)*)\]\((?P<target>[^()\s]+)\)"
_EITHER = re.compile(f"{_LINK}|{_CODE}", re.S | re.M)
# Pages of the repository's root that the site has.
_ROOT_PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}


def site_uri(path: str) -> str | None:
    """Where a file of the repository is on the site, as the source of a page or file; None if it is not there."""
    if path in _ROOT_PAGES:
        return _ROOT_PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path != "results" and not path.startswith("results/"):
        return None
    if (ROOT / path).is_dir():
        path = f"{path}/README.md"
    return path if (ROOT / path).is_file() else None


def linked(path: str, text: str) -> list[str]:
    """The files of the repository that a page at ``path`` links to."""
    targets = [found["target"] for found in _EITHER.finditer(text) if found["target"]]
    return [_resolved(path, target)[0] for target in targets if not _leave(target)]


def rewritten(path: str, text: str, complain: Callable[[str], None]) -> str:
    """The page with its links as the site needs them.

    Args:
        path: where the page is in the repository.
        text: its Markdown.
        complain: is called with a sentence on each link to a file that is not there.
    """
    here = posixpath.dirname(site_uri(path) or path)

    def link(found: re.Match[str]) -> str:
        target = found["target"]
        if not target or _leave(target):
            return found[0]
        file, anchor = _resolved(path, target)
        there = site_uri(file)
        if there is not None:
            return f"{found['kind']}[{found['text']}]({posixpath.relpath(there, here or '.')}{anchor})"
        if found["kind"] or not (ROOT / file).exists():
            complain(f"{path} links to {target}, which is not there")
        name = found["text"].strip("`")
        return found["text"] if name.endswith(file) else f"{found['text']} (`{file}`)"

    return _EITHER.sub(link, text)


def _leave(target: str) -> bool:
    return target.startswith("#") or re.match(r"[a-z]+:", target) is not None


def _resolved(path: str, target: str) -> tuple[str, str]:
    name, sharp, anchor = target.partition("#")
    return os.path.normpath(posixpath.join(posixpath.dirname(path), name)), sharp + anchor
