"""The examples: on the real data they are for, and at a small scale."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import ROOT, real_data
from nprnn.tasks.sequences import Sequences, SequenceSet


@pytest.fixture(scope="module")
def skeletons() -> Path:
    """The real MSR Action3D file; required when CI=true, skipped with a reason elsewhere."""
    return real_data("msraction3d/msraction3d.npz")


@pytest.mark.real_data
def test_msraction3d_becomes_sequences_split_by_subject(skeletons: Path, tmp_path: Path) -> None:
    out = tmp_path / "actions.npz"
    subprocess.run([sys.executable, ROOT / "examples" / "msraction3d.py", skeletons, out], check=True)
    data = Sequences(data=out).load(0)
    raw, made = np.load(skeletons, allow_pickle=False), np.load(out, allow_pickle=False)
    assert (data.input_size, data.output_size) == (180, 20)
    assert data.class_names == tuple(raw["action_names"].tolist())
    assert data.about[0] == "557 sequences of 13..76 steps, 180 features"
    assert "groups: 10, none in two splits" in data.about
    subjects = {side: set(made["group"][made["split"] == side].tolist()) for side in ("train", "valid", "test")}
    assert subjects == {"train": {1, 3, 5}, "valid": {7, 9}, "test": {2, 4, 6, 8, 10}}
    sets = {"train": data.train, "valid": data.valid, "test": data.test}
    total = 0
    for side, chosen in sets.items():
        assert isinstance(chosen, SequenceSet)
        clean = raw["clean"] & np.isin(raw["subject"], list(subjects[side]))
        assert chosen.lengths.tolist() == raw["length"][clean].tolist()
        assert chosen.y.tolist() == (raw["action"][clean] - 1).tolist()
        total += len(chosen)
    assert total == 557
    # The hip centre is the origin of every frame, and no frame is left where the tracker lost the body.
    place, velocity, moved = made["x"].reshape(-1, 3, 20, 3).transpose(1, 0, 2, 3)
    assert len(place) == raw["length"][raw["clean"]].sum()
    assert (place[:, 6] == 0).all()
    assert place.any((1, 2)).all()
    n = int(made["lengths"][0])
    assert np.linalg.norm(place[:n], axis=2).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(moved[:n], place[:n] - place[0], atol=1e-6)
    np.testing.assert_allclose(velocity[1 : n - 1], (place[2:n] - place[: n - 2]) / 2, atol=1e-6)


@pytest.mark.real_data
def test_msraction3d_final_trains_on_all_five_subjects(skeletons: Path, tmp_path: Path) -> None:
    out = tmp_path / "actions.npz"
    subprocess.run([sys.executable, ROOT / "examples" / "msraction3d.py", skeletons, out, "final"], check=True)
    made = np.load(out, allow_pickle=False)
    assert set(made["group"][made["split"] == "train"].tolist()) == {1, 3, 5, 7, 9}
    assert set(made["split"].tolist()) == {"train", "test"}


@pytest.fixture(scope="module")
def lorenz63() -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("lorenz63", ROOT / "examples" / "lorenz63.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


TINY = ["--hidden", "9", "--linear-units", "5", "--updates", "4", "--batch", "3", "--steps", "900"]


def test_lorenz63_steps_as_the_equations_do(lorenz63: Any) -> None:
    # On the z axis z' = -8/3 z; a step leaves out dt⁵ and what follows.
    z = lorenz63.step(np.array([[0, 0, 10.0]]))
    np.testing.assert_allclose(z, [[0, 0, 10 * np.exp(-8 / 3 * lorenz63.DT)]], rtol=(8 / 3 * lorenz63.DT) ** 5 / 100)
    # It stands still at the centres of its wings.
    wing = np.array([[np.sqrt(72), np.sqrt(72), 27], [-np.sqrt(72), -np.sqrt(72), 27]])
    np.testing.assert_allclose(lorenz63.step(wing), wing, rtol=1e-14)
    # Volumes shrink by exp(-41/3 t) everywhere: the exponents add up to -41/3.
    states, small = lorenz63.trajectories(5, 1)[:, 0], 1e-5
    assert sum(lorenz63.TRUE_EXPONENTS) == pytest.approx(-41 / 3, abs=1e-4)
    for state in states:
        jacobian = (lorenz63.step(state + small * np.eye(3)) - lorenz63.step(state - small * np.eye(3))) / (2 * small)
        assert np.log(np.linalg.det(jacobian)) / lorenz63.DT == pytest.approx(-41 / 3, rel=1e-4)


def test_lorenz63_hidden_states_are_those_of_the_network_held_at_the_observations(lorenz63: Any) -> None:
    networks = lorenz63.Networks(torch.randn(2, 7, 7) / 3, torch.randn(2, 7), 5)
    seen, start = torch.randn(2, 4, 6, 3), torch.randn(2, 6, 4)
    h = torch.cat([seen[:, 0], start], -1)
    for t in range(1, 4):
        h = torch.einsum("ehk,ebk->ebh", networks.weight, h) + networks.bias[:, None]
        h[..., 5:] = h[..., 5:].relu()
        h[..., :3] = seen[:, t]
    torch.testing.assert_close(networks.follow(seen, start), h)
    free = networks.run(h, 1)
    after = torch.einsum("ehk,ebk->ebh", networks.weight, h) + networks.bias[:, None]
    torch.testing.assert_close(free[:, 0], after[..., :3])


def test_lorenz63_networks_trained_together_are_those_trained_alone(lorenz63: Any) -> None:
    settings = lorenz63.Settings(hidden=9, linear_units=5, updates=30, batch=8, steps=500)
    series = torch.tensor(lorenz63.trajectories(1, 500)[0] / 20).float()
    together, losses = lorenz63.train(settings, [3, 8], series)
    alone, loss = lorenz63.train(settings, [8], series)
    torch.testing.assert_close(together.weight[1], alone.weight[0])
    torch.testing.assert_close(losses[1], loss[0])
    untrained = lorenz63.train(lorenz63.Settings(hidden=9, linear_units=5, updates=1, batch=8), [3, 8], series)[1]
    assert (losses < untrained).all()


def test_lorenz63_writes_records_once_and_a_table_of_all(
    lorenz63: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, ROOT / "examples" / "lorenz63.py", *TINY, "--seed", "0", "1", "--out", tmp_path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    records = sorted(tmp_path.glob("*.json"))
    assert [path.name for path in records] == ["linear5of9-seed0.json", "linear5of9-seed1.json"]
    record = json.loads(records[1].read_text())
    assert record["seed"] == 1
    assert record["settings"]["updates"] == 4
    assert np.shape(record["weight_hh"]) == (9, 9)
    # Of 900 steps the first 20 are followed. The measures of the record are those of its weights.
    path = lorenz63.trajectories(4, 900)
    true = torch.tensor((path[2] - path[0].mean(0)) / path[0].std(0))
    weights = (torch.tensor(record[key], dtype=torch.float64)[None] for key in ("weight_hh", "bias"))
    networks = lorenz63.Networks(*weights, 5)
    free = networks.run(lorenz63.begin(networks, true, 20), 879)[0, :, 0]
    assert lorenz63.compare(true, free) == pytest.approx(record["test"], rel=1e-6)
    assert (tmp_path / "linear5of9-seed0.png").stat().st_size > 10_000
    assert (tmp_path / "summary.md").read_text() == done.stdout
    lines = done.stdout.splitlines()
    assert lines[2].startswith("| 5 of 9 | 0 | ")
    assert lines[3].startswith(f"| 5 of 9 | 1 | {' | '.join(f'{v:.3f}' for v in record['exponents'])} | ")
    assert lines[4].startswith("| **5 of 9** | λ1 within 10 %: ")
    before = [path.stat().st_mtime_ns for path in records]
    lorenz63.main([*TINY, "--seed", "1", "--out", str(tmp_path)])
    assert capsys.readouterr().out == done.stdout
    assert [path.stat().st_mtime_ns for path in records] == before, "not run again"
    with pytest.raises(SystemExit, match=r"linear5of9-seed0\.json is of other settings: give another --out"):
        lorenz63.main([*TINY, "--updates", "5", "--out", str(tmp_path)])


def test_lorenz63_tells_of_a_network_that_blew_up(lorenz63: Any) -> None:
    true = torch.randn(50, 3, dtype=torch.float64)
    lost = lorenz63.compare(true, true[5:] / 0)
    assert lost == {"D_stsp": None, "D_H": None}
    settings = {"linear_units": 0, "hidden": 9}
    records = [
        {"seed": k, "settings": settings, "exponents": [0.9, 0.01, -9], "test": test, "another_true_trajectory": floor}
        for floor in [lorenz63.compare(true, true)]
        for k, test in enumerate([lost, floor])
    ]
    lines = lorenz63.summary(records).splitlines()
    assert lines[2] == "| 0 of 9 | 0 | 0.900 | 0.010 | -9.000 | nan | nan |"
    assert lines[4].startswith("| **0 of 9** | λ1 within 10 %: 2 of 2; λ2 within 0.05 of 0: 2 | 0.900 (0.000) |")
    assert lines[5].endswith("| 0.906 | 0.000 | -14.572 | 0.000 | 0.000 |")
