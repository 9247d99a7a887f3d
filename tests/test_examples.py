"""The examples, on the real data they are for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
