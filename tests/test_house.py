"""The house rules that a machine can check: floors, a light import, a catalogue that agrees with the README."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nprnn
from conftest import ROOT
from nprnn.cli import COMMANDS
from nprnn.models import MODELS
from nprnn.reporting.summary import results_table, with_results
from nprnn.tasks import TASKS

SOURCE = ROOT / "src" / "nprnn"
# A module imports only from floors below its own.
FLOORS = {
    "errors": 0,
    "seeds": 0,
    "files": 0,
    "locks": 0,
    "processes": 0,
    "_native": 0,
    "configs": 1,
    "devices": 1,
    "optional": 1,
    "feature_store": 1,
    "init": 1,
    "runs": 1,
    "spawning": 1,
    "streaming_weights": 1,
    "ops": 2,
    "rnn": 3,
    "linear": 3,
    "streaming": 3,
    "ensembles": 4,
    "models": 5,
    "dynamics": 6,
    "tasks": 6,
    "training": 7,
    "bench": 8,
    "sweep": 8,
    "video": 8,
    "experiments": 9,
    "export": 9,
    "reporting": 10,
    "cli": 11,
    "__main__": 12,
}
# Loaded by what uses them, never by `import nprnn`.
OPTIONAL = (
    "tyro",
    "rich",
    "matplotlib",
    "jinja2",
    "safetensors",
    "onnx",
    "onnxruntime",
    "triton",
    "executorch",
    "ray",
    "av",
    "jax",
)


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def part(name: str) -> str:
    """The floor's name in a dotted module name, such as "ops" in nprnn.ops.reference."""
    words = name.split(".")
    return words[1] if len(words) > 1 else "__init__"


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            if module == "nprnn":
                found |= {f"nprnn.{alias.name}" for alias in node.names}
            else:
                found.add(module)
    return {name for name in found if name.split(".")[0] == "nprnn"}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_module_reaches_up_or_sideways(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    assert own in FLOORS, f"{own} has no floor: give it one here and in docs/design.md"
    for name in imported(path):
        target = part(name)
        if target == own or own in ("cli", "__main__"):
            continue
        assert FLOORS.get(target, 99) < FLOORS[own], f"{own} (floor {FLOORS[own]}) imports {name}"


def test_every_floor_exists_and_is_in_the_design() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    for name in FLOORS:
        assert list(SOURCE.glob(f"{name}*")), name
        assert name.strip("_") in design, name
    assert f"| roof | `cli/`, `__main__.py` | {', '.join(COMMANDS)} |" in design


def test_matplotlib_lives_in_reporting_alone() -> None:
    users = [p for p in modules() if re.search(r"^\s*(import|from) matplotlib", p.read_text(), re.M)]
    assert users
    assert all("reporting" in p.parts for p in users)


def test_importing_the_package_loads_no_optional_library() -> None:
    code = f"import sys, nprnn; print([m for m in {OPTIONAL!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_catalogue_holds_explicit_names_that_the_api_page_lists() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    names = [alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert names
    assert None not in names, "write `X as X`"
    page = (ROOT / "docs" / "api.md").read_text()
    for name in names:
        assert hasattr(nprnn, str(name))
        assert f"`nprnn.{name}" in page, f"docs/api.md does not tell of nprnn.{name}"
    for name in re.findall(r"`nprnn\.([\w.]+)", page):
        value: object = nprnn
        for word in name.split("."):
            assert hasattr(value, word), f"docs/api.md tells of nprnn.{name}, which is not there"
            value = getattr(value, word)


def test_the_readme_tells_of_every_model_task_and_command() -> None:
    readme = (ROOT / "README.md").read_text()
    table = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", readme, re.M))
    assert {name: table.get(name) for name in MODELS} == MODELS
    for name in TASKS:
        assert f"nprnn train {name}" in readme, name
    for name in COMMANDS:
        assert f"nprnn {name}" in readme, name
    for name in re.findall(r"nprnn ([a-z]+)\b", "\n".join(re.findall(r"```sh\n(.*?)```", readme, re.S))):
        assert name in COMMANDS, f"the README shows `nprnn {name}`, which is not a command"


def test_the_readmes_results_are_those_of_the_records() -> None:
    readme = (ROOT / "README.md").read_text()
    table = results_table(ROOT / "results")
    assert table.count("\n") > 1, "no results"
    assert with_results(readme, table) == readme, "run make readme"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_docstrings_of_the_core_are_complete() -> None:
    # Ruff sees that docstrings exist; this sees that those of the core tell arguments, results and errors.
    for function in [nprnn.ops.rnn, *(v for k, v in vars(nprnn.init).items() if k.endswith("_") and callable(v))]:
        for section in ("Args:", "Returns:", "Raises:", "Source:"):
            assert section in (function.__doc__ or ""), f"{function.__name__} lacks {section}"


def test_versions_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    base = nprnn.__version__.removesuffix(".dev0")
    assert f"version: {nprnn.__version__}" in citation
    assert f"## {base}" in changelog
