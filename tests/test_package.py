"""The package as built, with a C++ compiler and without one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import nprnn
from conftest import ROOT
from nprnn.ops import kernel_in_use
from nprnn.ops.cpu import instruction_sets


def test_backend_status_tells_of_the_native_module() -> None:
    status = nprnn.backend_status()
    assert "in use" in status[kernel_in_use()]
    assert "built with" in status["native module"]
    assert instruction_sets()[0] == "portable"


def test_without_the_native_module_everything_else_works() -> None:
    code = """
import sys
import tomllib
sys.modules["nprnn._native"] = None
import nprnn, torch
print(nprnn.backend_status()["native module"], nprnn.ops.kernel_in_use())
print(nprnn.NPRNN(2, 4)(torch.rand(3, 1, 2))[0].shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "missing" in done.stdout
    assert "C++ compiler" in done.stdout
    assert "reference" in done.stdout
    assert "torch.Size([3, 1, 4])" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("compiler", [True, False])
def test_a_wheel_is_built_with_and_without_a_compiler(
    tmp_path: Path, compiler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiler:
        monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    source = tmp_path / "source"
    for name in ("src", "csrc"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    # .gitignore too: what it names was once left out of the wheel, wherever in the package it was.
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source / name)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(tmp_path), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "nprnn/py.typed" in names
    # Modules and data, such as the explorer's page and the experiments.
    files = {path.relative_to(source / "src").as_posix() for path in (source / "src").rglob("*") if path.is_file()}
    assert {path.suffix for path in map(Path, files)} >= {".py", ".toml", ".html", ".css", ".js"}
    assert files <= set(names), files - set(names)
    assert any(name.startswith("nprnn/_native") and name.endswith(".so") for name in names) is compiler
    # The kernels are half of it; a record or a picture that slips in would be seen.
    assert wheel.stat().st_size < 1_500_000


@pytest.mark.slow  # PyYAML comes with the extra docs
def test_the_workflow_covers_what_the_package_promises() -> None:
    import yaml

    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tried = jobs["test"]["strategy"]["matrix"]["include"]
    (torch_range,) = [need for need in project["project"]["dependencies"] if need.startswith("torch")]
    oldest = re.fullmatch(r"torch>=([\d.]+),<\d+", torch_range)
    assert oldest
    assert tried[0] == {"torch": f"=={oldest[1]}.*", "python": project["project"]["requires-python"].lstrip(">=")}
    pinned = re.search(r"^torch==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert pinned
    assert tried[-1]["torch"] == f">={pinned[1]}", "the newest there is"
    wheels = {f"cp{entry['python'].replace('.', '')}-*" for entry in tried}
    assert wheels <= set(project["tool"]["cibuildwheel"]["build"])
    assert jobs["installed"]["needs"] == "wheels"
    assert not [step for step in jobs["installed"]["steps"] if "checkout" in step.get("uses", "")]
    said = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    assert {"ruff check .", "ruff format --check .", "mypy", "mkdocs build --strict"} <= said
