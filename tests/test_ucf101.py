"""Actions in video: who is trained on, what is fitted to whom, what the network is fed; and the importer."""

from __future__ import annotations

import os
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clip_stores import CLASSES, WIDTH, made, rows
from conftest import data_folder, real_data
from nprnn.configs import as_record, from_record
from nprnn.errors import ConfigError, DataError
from nprnn.feature_store import ClipRow, FeatureStore
from nprnn.tasks import TASKS
from nprnn.tasks.base import TaskData
from nprnn.tasks.ucf101 import Ucf101
from nprnn.tasks.ucf101_clips import ClipSet
from nprnn.tasks.ucf101_fitting import PROJECTION, principal_components, project, read_projection, standardise
from nprnn.tasks.ucf101_import import import_ucf101
from nprnn.tasks.ucf101_yardstick import fit, mean_pooled_logistic
from nprnn.training import TrainConfig, load_data, load_trained, start_run, train


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """These stores need not outlast a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def sets(data: TaskData) -> dict[str, ClipSet]:
    found = {"train": data.train, "valid": data.valid, "test": data.test}
    return {side: chosen for side, chosen in found.items() if isinstance(chosen, ClipSet)}


def groups(chosen: ClipSet) -> set[int | None]:
    return {chosen.store.rows[place].group for place in chosen.places}


def fault(act: Any, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


# --- who is trained on


def test_the_papers_protocol(tmp_path: Path) -> None:
    data = Ucf101(store=made(tmp_path / "s")).load(0)
    found = sets(data)
    assert groups(found["train"]) == set(range(8, 25))
    assert groups(found["valid"]) == {25}
    assert groups(found["test"]) == set(range(1, 8))
    assert data.about == (
        "train: 51 clips of 3 classes, groups 8-24",
        "valid: 3 clips of 3 classes, groups 25",
        "test: 21 clips of 3 classes, groups 1-7",
        "split 01: the test clips are all those of groups 1-7, as in the official list",
    )
    assert (data.input_size, data.output_size, data.class_names) == (WIDTH, 3, CLASSES)
    assert data.objective.baseline == {"accuracy": 1 / 3}
    assert data.standardisation is None


@pytest.mark.parametrize(("split", "tested"), [("01", range(1, 8)), ("02", range(8, 15)), ("03", range(15, 22))])
def test_folds_hold_out_each_group_once(tmp_path: Path, split: str, tested: range) -> None:
    store = made(tmp_path / "s")
    held: list[int | None] = []
    for fold in range(5):
        found = sets(Ucf101(store=store, split=split, validation=f"fold{fold}", folds=5).load(0))
        parts = [groups(found[side]) for side in ("train", "valid", "test")]
        assert parts[2] == set(tested)
        assert set.union(*parts) == set(range(1, 26))
        assert sum(map(len, parts)) == 25
        held += sorted(parts[1], key=str)
    assert sorted(held, key=str) == sorted(set(range(1, 26)) - set(tested), key=str)


def test_without_validation_all_but_the_test_clips_are_trained_on(tmp_path: Path) -> None:
    data = Ucf101(store=made(tmp_path / "s"), validation="none").load(0)
    assert data.valid is None
    assert groups(sets(data)["train"]) == set(range(8, 26))
    assert "valid: none" in data.about


def test_the_fingerprint_is_of_clips_settings_and_sets(tmp_path: Path) -> None:
    store = made(tmp_path / "s")
    fingerprints = [
        Ucf101(store=store, **settings).load(0).fingerprint
        for settings in (
            {},
            {"split": "02"},
            {"validation": "fold0"},
            {"validation": "fold0", "folds": 3},
            {"scaling": "l2"},
            {"shuffle_frames": True},
            {"pca": 2},
        )
    ]
    fingerprints.append(Ucf101(store=made(tmp_path / "t", spoilt=["v_Biking_g01_c01"])).load(0).fingerprint)
    assert len(set(fingerprints)) == 8
    assert Ucf101(store=made(tmp_path / "moved")).load(7).fingerprint == fingerprints[0]


def test_settings_come_back_and_the_store_is_no_part_of_them() -> None:
    config = Ucf101(store=Path("x"), split="03", validation="fold2", scaling="l2", pca=4, shuffle_frames=True)
    assert "store" not in as_record(config)
    assert from_record(Ucf101, {**as_record(config), **as_record(config, locations=True)}) == config


OWN = [
    ClipRow(f"mine {k}", "ab"[k % 2], k // 2 if k < 8 else None, {"mine": side}, 3)
    for k, side in enumerate(["train"] * 6 + ["valid"] * 2 + ["test"] * 4)
]


def test_a_users_own_store(tmp_path: Path) -> None:
    store = made(tmp_path / "s", [*OWN, ClipRow("spare", "a", None, {}, 9)])
    data = Ucf101(store=store, split="mine", validation="given").load(0)
    found = sets(data)
    assert [found[side].names for side in found] == [
        [f"mine {k}" for k in range(6)],
        ["mine 6", "mine 7"],
        ["mine 10", "mine 11", "mine 8", "mine 9"],
    ]
    assert "1 clips are not in split mine and left out" in data.about
    assert len(sets(Ucf101(store=store, split="mine", validation="none").load(0))["train"]) == 8
    words = fault(lambda: Ucf101(store=store, split="mine").load(0), ConfigError)
    assert "validation must be 'given' or 'none'" in words


def test_clips_without_groups_are_folded_one_by_one(tmp_path: Path) -> None:
    clips = [ClipRow(f"{k}", "ab"[k % 2], None, {"mine": "train" if k < 8 else "test"}, 2) for k in range(10)]
    store = made(tmp_path / "s", clips)
    held: list[str] = []
    for fold in range(3):
        held += sets(Ucf101(store=store, split="mine", validation=f"fold{fold}", folds=3).load(0))["valid"].names
    assert sorted(held) == [f"{k}" for k in range(8)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "--store"),
        ({"store": "here", "split": "04"}, r"unknown split '04'.*Known: 01, 02, 03"),
        ({"store": "here", "validation": "group3"}, r"no training clip is of that group; the training groups are 8-25"),
        ({"store": "here", "folds": 19, "validation": "fold0"}, "at most 18"),
        ({"store": "here", "validation": "given"}, "names no valid clips"),
        ({"validation": "fold6"}, r"one of fold0\.\.fold5"),
        ({"validation": "half"}, "group25 in the paper"),
        ({"folds": 1}, "at least 2"),
        ({"scaling": "max"}, "none, l2, standardise"),
        ({"pca": 0}, "at least 1 component"),
        ({"store": "here", "pca": 7}, "at most 6"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    if "store" in settings:
        settings = {**settings, "store": made(tmp_path / "s")}
    assert re.search(words, fault(lambda: Ucf101(**settings).load(0), ConfigError))


def test_splits_that_cannot_be_trusted(tmp_path: Path) -> None:
    def words(name: str, *changed: ClipRow, split: str = "01") -> str:
        clips = {row.name: row for row in [*rows(), *changed]}
        store = made(tmp_path / name, list(clips.values()))
        return fault(lambda: Ucf101(store=store, split=split).load(0))

    one = rows()[0]
    assert "group 1 is on two sides" in words("leak", one._replace(splits={"01": "train"}))
    assert "its name says 1" in words("misnamed", *(r._replace(group=77) for r in rows([1])))
    moved = [r._replace(splits={"01": "train"}) for r in rows([1])]
    assert "groups 1-7 are for testing, but v_Archery_g01_c01 is 'train'" in words("moved", *moved)
    # Names may be paths of files.
    far = made(tmp_path / "paths", [r._replace(name=f"{r.label}/{r.name}.avi") for r in [*rows(range(2, 26)), *moved]])
    assert "groups 1-7 are for testing" in fault(lambda: Ucf101(store=far).load(0))
    odd = ClipRow("v_Surfing_g01_c01", "Surfing", 1, {"01": "test"}, 3)
    assert "1 classes of the test set never occur in training: Surfing" in words("unseen", odd)
    assert "nothing to train on" in fault(lambda: Ucf101(store=made(tmp_path / "few", rows([1, 25]))).load(0))
    lost = made(tmp_path / "lost", [ClipRow("a", "a", None, {}, 2)])
    assert "none of which is in a split" in fault(lambda: Ucf101(store=lost).load(0))


# --- what is fitted to whom


def test_standardising_reads_the_training_clips_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = FeatureStore.features

    def noting(store: FeatureStore, k: int) -> Any:
        read.append(store.rows[k].name)
        return real(store, k)

    monkeypatch.setattr(FeatureStore, "features", noting)
    store = made(tmp_path / "s")
    Ucf101(store=store).load(0)
    assert read == []
    data = Ucf101(store=store, scaling="standardise").load(0)
    assert read == sets(data)["train"].names
    read.clear()
    projection = principal_components(lambda: sets(data)["train"], WIDTH, 2)
    assert set(read) == set(sets(data)["train"].names)
    assert projection.components.shape == (WIDTH, 2)


@pytest.mark.parametrize("validation", ["group25", "fold1"])
@pytest.mark.parametrize("settings", [{"scaling": "standardise"}, {"pca": 3}, {"pca": 3, "scaling": "standardise"}])
def test_clips_that_are_not_trained_on_change_nothing_that_is_learnt(
    tmp_path: Path, validation: str, settings: dict[str, Any]
) -> None:
    found = sets(Ucf101(store=made(tmp_path / "s"), validation=validation).load(0))
    others = [*found["valid"].names, *found["test"].names]
    made(tmp_path / "spoilt", spoilt=others)
    config = TrainConfig(hidden=4, batch=8, updates=6, eval_every=6)
    learnt = []
    for name in ("s", "spoilt"):
        task = Ucf101(store=tmp_path / name, validation=validation, **settings)
        data = task.load(0)
        run = start_run("ucf101", task, config, data, tmp_path / "runs")
        learnt.append((train(config, data, run).state_dict(), data, run.records()))
    (first, data, told), (second, spoilt, told_of_spoilt) = learnt
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert told[-1]["loss"] == told_of_spoilt[-1]["loss"]
    # The spoilt clips were in use: they were judged.
    assert told[-1]["test"] != told_of_spoilt[-1]["test"]
    if "pca" in settings:
        kept = [read_projection(sets(d)["train"].store.folder / PROJECTION) for d in (data, spoilt)]
        assert all(torch.equal(a, b) for a, b in zip(kept[0][:2], kept[1][:2], strict=True))


def test_standardisation_is_the_mean_and_deviation_of_all_training_frames(tmp_path: Path) -> None:
    data = Ucf101(store=made(tmp_path / "s"), scaling="standardise").load(0)
    frames = torch.cat(list(sets(data)["train"])).double()
    assert data.standardisation is not None
    torch.testing.assert_close(data.standardisation.mean, frames.mean(0).float())
    torch.testing.assert_close(data.standardisation.scale, frames.std(0, correction=0).float())


def test_constant_features_and_tiny_deviations_are_scaled_right() -> None:
    clips = [torch.tensor([[0.1, 1e4], [0.1, 1e4 + 8]]), torch.tensor([[0.1, 1e4]])]
    found = standardise(clips, 2)
    assert found.scale.tolist() == pytest.approx([1.0, 8 * np.sqrt(2) / 3])
    assert found.mean.tolist() == pytest.approx([0.1, 1e4 + 8 / 3])


@pytest.mark.parametrize("count", [1, 3, WIDTH])
def test_principal_components_are_those_of_the_svd(tmp_path: Path, count: int) -> None:
    clips = sets(Ucf101(store=made(tmp_path / "s")).load(0))["train"]
    found = principal_components(lambda: clips, WIDTH, count)
    frames = torch.cat(list(clips)).double().numpy()
    centred = frames - frames.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    expected = directions[:count].T * np.sign(directions[np.arange(count), np.abs(directions[:count]).argmax(1)])
    np.testing.assert_allclose(found.components.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(found.mean.numpy(), frames.mean(0), atol=1e-6)
    assert found.explained == pytest.approx((sizes[:count] ** 2).sum() / (sizes**2).sum())


def test_components_of_many_blocks_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [torch.randn(7, 5, generator=torch.Generator().manual_seed(k)) for k in range(9)]
    whole = principal_components(lambda: clips, 5, 4)
    monkeypatch.setattr("nprnn.tasks.ucf101_fitting._BLOCK", 10)
    parts = principal_components(lambda: clips, 5, 4)
    torch.testing.assert_close(whole.components, parts.components)


def test_components_are_kept_beside_the_store_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(tmp_path / "s")
    task = Ucf101(store=store, pca=2, scaling="l2")
    data = task.load(0)
    clips = sets(data)
    (folder,) = tmp_path.glob("s.pca2-*")
    projection = read_projection(folder / PROJECTION)
    source = sets(Ucf101(store=store, scaling="l2").load(0))
    for side, chosen in clips.items():
        assert chosen.names == source[side].names
        for fed, frames in zip(chosen, source[side], strict=True):
            expected = (frames - projection.mean) @ projection.components
            torch.testing.assert_close(fed, expected, rtol=1e-3, atol=1e-3)
    assert data.input_size == 2
    assert re.search(
        r"2 principal components of 6 features, \d\d\.\d% of the variance, fitted to the 51", data.about[-1]
    )

    def again(*_: object) -> None:
        pytest.fail("fitted again")

    monkeypatch.setattr("nprnn.tasks.ucf101_fitting.principal_components", again)
    # A kill may leave a store of some clips.
    next(iter((folder / "clips").iterdir())).unlink()
    assert torch.equal(sets(task.load(0))["test"].batch(torch.arange(5)).x, clips["test"].batch(torch.arange(5)).x)
    (folder / PROJECTION).write_bytes(b"x")
    assert PROJECTION in fault(lambda: task.load(0))


def test_processes_that_want_the_same_components_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path / "s")
    fitted: list[int] = []

    def slowly(*arguments: Any) -> Any:
        fitted.append(1)
        time.sleep(0.2)
        return principal_components(*arguments)

    monkeypatch.setattr("nprnn.tasks.ucf101_fitting.principal_components", slowly)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: Ucf101(store=store, pca=2).load(0).train.batch(torch.arange(5)).x, range(4)))
    assert len(fitted) == 1
    assert all(torch.equal(x, found[0]) for x in found)


def test_other_training_clips_or_a_grown_store_give_other_components(tmp_path: Path) -> None:
    store = made(tmp_path / "s", rows(range(1, 25)))
    train_clips = sets(Ucf101(store=store, validation="fold0").load(0))["train"]
    folders = {project(train_clips, 2)[0].folder}
    folders |= {project(sets(Ucf101(store=store, validation="fold1").load(0))["train"], 2)[0].folder}
    made_here = FeatureStore.open(store)
    made_here.append(rows([25])[0], np.ones((rows([25])[0].length, WIDTH)))
    folders |= {project(sets(Ucf101(store=store, validation="fold0").load(0))["train"], 2)[0].folder}
    assert len(folders) == 3


# --- what the network is fed


def test_a_batch_has_clips_of_their_lengths_and_zeros_after(tmp_path: Path) -> None:
    path = made(tmp_path / "s")
    test = Ucf101(store=path).load(0).test
    store = FeatureStore.open(path)
    index = torch.tensor([4, 0, 20])
    x, y, lengths = test.batch(index)
    assert lengths is not None
    assert x.dtype == torch.float32
    by_name = {row.name: k for k, row in enumerate(store.rows)}
    for column, k in enumerate(index.tolist()):
        name = sets(Ucf101(store=path).load(0))["test"].names[k]
        stored = store.features(by_name[name])
        assert int(lengths[column]) == len(stored)
        np.testing.assert_array_equal(x[: len(stored), column].numpy(), stored.astype(np.float32))
        assert (x[len(stored) :, column] == 0).all()
        assert CLASSES[int(y[column])] == store.rows[by_name[name]].label
    assert len(x) == int(lengths.max())


def test_clips_of_one_length_need_no_lengths(tmp_path: Path) -> None:
    data = Ucf101(store=made(tmp_path / "s", rows(lengths=(4,)))).load(0)
    assert data.train.batch(torch.arange(3)).lengths is None
    # Whether lengths are told does not depend on the set that happens to be drawn from.
    mixed = [*rows(range(2, 26), lengths=(4,)), *rows([1], lengths=(3,))]
    assert Ucf101(store=made(tmp_path / "t", mixed)).load(0).train.batch(torch.arange(3)).lengths is not None


def test_l2_gives_frames_of_norm_one_and_leaves_zeros(tmp_path: Path) -> None:
    clips = rows()
    store = FeatureStore.create(tmp_path / "s", {}, 2)
    for row in clips:
        store.append(row, np.array([[3.0, 4.0], *[[0.0, 0.0]] * (row.length - 1)]))
    x = Ucf101(store=tmp_path / "s", scaling="l2").load(0).train.batch(torch.arange(10)).x
    torch.testing.assert_close(x[0], torch.tensor([[0.6, 0.8]] * 10))
    assert (x[1:] == 0).all()


def test_shuffled_frames_are_the_same_frames_in_an_order_of_the_clips_own(tmp_path: Path) -> None:
    store = made(tmp_path / "s", rows(lengths=(12,)))
    straight = Ucf101(store=store).load(0).train.batch(torch.arange(51)).x
    shuffled = Ucf101(store=store, shuffle_frames=True).load(0).train.batch(torch.arange(51)).x
    again = Ucf101(store=store, shuffle_frames=True).load(5).train.batch(torch.tensor([7])).x
    assert torch.equal(shuffled[:, [7]], again)
    orders = []
    for k in range(51):
        order = [int((straight[:, k] == frame).all(1).nonzero()) for frame in shuffled[:, k]]
        assert sorted(order) == list(range(12))
        orders.append(tuple(order))
    assert len(set(orders)) == 51


def test_a_batch_reads_its_own_clips_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Ucf101(store=made(tmp_path / "s")).load(0)
    read = []
    real = FeatureStore.features
    monkeypatch.setattr(FeatureStore, "features", lambda store, k: read.append(store.rows[k].name) or real(store, k))
    data.test.batch(torch.tensor([3, 1]))
    assert read == [sets(data)["test"].names[k] for k in (3, 1)]


def test_training_on_clips_learns_them_and_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "ucf101", Ucf101)
    task = Ucf101(store=made(tmp_path / "s"), scaling="standardise", validation="fold0")
    data = task.load(0)
    config = TrainConfig(hidden=12, batch=16, updates=150, eval_every=75, optimizer="rmsprop", lr=5e-3, dropout=0.2)
    run = start_run("ucf101", task, config, data, tmp_path / "runs")
    model = train(config, data, run)
    assert run.records()[-1]["test"]["accuracy"] > 0.8
    assert run.records()[-1]["valid"]["accuracy"] > 0.8
    found = load_trained(run.folder)
    assert found.class_names == CLASSES
    batch = data.test.batch(torch.arange(4))
    model.eval()
    assert torch.equal(found.model(batch.x, batch.lengths), model(batch.x, batch.lengths))
    assert load_data(run).fingerprint == data.fingerprint
    moved = (tmp_path / "s").rename(tmp_path / "elsewhere")
    assert load_data(run, store=moved).fingerprint == data.fingerprint


# --- the importer


def quantised(folder: Path, classes: dict[str, int]) -> Path:
    """A folder as /shared/data has it: clips of 2 frames of 3 features."""
    folder.mkdir(parents=True)
    lines = ["class,clip,row,group,take,split01,split02,split03"]
    for k, (label, clips) in enumerate(classes.items()):
        names = [f"v_{label}_g{n + 1:02}_c01" for n in range(clips)]
        q = np.random.default_rng(k).integers(0, 64, (clips, 3, 2), dtype=np.uint8)
        np.savez(folder / f"{label}.npz", q=q, name=names, xmax=np.float32(12.2), levels=np.int32(63))
        sides = [("test" if n < 7 else "train", "train" if n < 7 else "", "train") for n in range(clips)]
        lines += [f"{label},{name},{n},{n + 1},1,{','.join(sides[n])}" for n, name in enumerate(names)]
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_importing_gives_what_the_numbers_stand_for(tmp_path: Path) -> None:
    source = quantised(tmp_path / "data" / "vgg", {"Archery": 9, "Biking": 3})
    told: list[tuple[int, int]] = []
    store = import_ucf101(source, tmp_path / "s", progress=lambda *done: told.append(done))
    assert told == [(k, 12) for k in range(1, 13)]
    assert store.provenance["source"] == "data/vgg"
    for k, row in enumerate(store.rows):
        with np.load(source / f"{row.label}.npz") as file:
            (place,) = np.flatnonzero(file["name"] == row.name)
            x = 12.2 * (file["q"].astype(float) / 63) ** 2
            np.testing.assert_array_equal(store.features(k), x.transpose(0, 2, 1)[place].astype(np.float16))
    assert store.rows[0] == ClipRow("v_Archery_g01_c01", "Archery", 1, {"01": "test", "02": "train", "03": "train"}, 2)
    assert store.rows[8].splits == {"01": "train", "03": "train"}


def test_an_import_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    source = quantised(tmp_path / "vgg", {"Archery": 4, "Biking": 3})

    def stop(done: int, of: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_ucf101(source, tmp_path / "s", progress=stop)
    assert len(FeatureStore.open(tmp_path / "s").rows) == 5
    whole = import_ucf101(source, tmp_path / "s")
    assert whole.fingerprint() == import_ucf101(source, tmp_path / "other").fingerprint()
    assert import_ucf101(source, tmp_path / "one", classes=["Biking"]).names == {
        f"v_Biking_g0{k}_c01" for k in (1, 2, 3)
    }
    words = fault(lambda: import_ucf101(source, tmp_path / "s", classes=["Bikin"]), ConfigError)
    assert "Did you mean 'Biking'" in words


def resave(path: Path, **changed: Any) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{k: v for k, v in {**arrays, **changed}.items() if v is not None})


def spoil_member(path: Path, content: bytes) -> None:
    """Put something else in the place of an array."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("q.npy", content)


def spoil_list(path: Path, place: int, byte: bytes) -> None:
    """Change a byte of the first entry of an archive's list of members."""
    content = path.read_bytes()
    at = content.index(b"PK\1\2") + place
    path.write_bytes(content[:at] + byte + content[at + 1 :])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: (d / "Archery.npz").unlink(), "Archery.npz cannot be read"),
        (
            lambda d: (d / "Archery.npz").write_bytes((d / "Archery.npz").read_bytes()[:300]),
            "Archery.npz cannot be read",
        ),
        (lambda d: resave(d / "Archery.npz", q=None), "expected q, name, xmax and levels"),
        (lambda d: resave(d / "Archery.npz", q=np.zeros((4, 3, 2))), "expected q uint8"),
        (lambda d: resave(d / "Archery.npz", q=np.full((4, 3, 2), 64, np.uint8)), "at most 63"),
        (lambda d: resave(d / "Archery.npz", q=np.zeros((4, 5, 2), np.uint8)), "Biking.npz has 3 features a frame"),
        (lambda d: resave(d / "Archery.npz", levels=0), "levels in 1..255"),
        (lambda d: resave(d / "Archery.npz", xmax=np.nan), "xmax in float16's range"),
        (lambda d: resave(d / "Archery.npz", name=["x"] * 4), "row 0 is not v_Archery_g01_c01"),
        (lambda d: resave(d / "Archery.npz", name=np.array([{}] * 4)), "cannot be read"),
        (lambda d: spoil_member(d / "Archery.npz", b"no array"), "Archery.npz cannot be read"),
        (lambda d: spoil_member(d / "Archery.npz", b"\x93NUMPY\1\0\5\0((((("), "its header is damaged"),
        (lambda d: spoil_list(d / "Archery.npz", 6, b"\xff"), "zip file version"),
        (lambda d: spoil_list(d / "Archery.npz", 10, b"\x08"), "Archery.npz cannot be read"),
        (lambda d: resave(d / "Archery.npz", xmax=np.ones(3)), "Archery.npz cannot be read"),
        (lambda d: (d / "index.csv").unlink(), "cannot read"),
        (lambda d: (d / "index.csv").write_text("clip,class\n"), "lacks the column 'row'"),
        (lambda d: (d / "index.csv").write_text("class,clip,row,group\n"), "names no clips"),
        (lambda d: (d / "index.csv").write_text("class,clip,row,group\n../x,a,0,1\n"), "is odd or twice there"),
        (lambda d: (d / "index.csv").write_text("class,clip,row,group\nArchery,a,zero,1\n"), "not an index"),
        (lambda d: (d / "index.csv").write_text("class,clip,row,group\nArchery,a\n"), "not an index"),
        (lambda d: (d / "index.csv").write_bytes(b"\xff\xfe\x00"), "not an index"),
        (lambda d: (d / "index.csv").write_text("class,clip,row,group" + "," * (1 << 23)), "a row of more than"),
    ],
)
def test_damaged_sources_are_named(tmp_path: Path, spoil: Any, words: str) -> None:
    source = quantised(tmp_path / "vgg", {"Archery": 4, "Biking": 2})
    spoil(source)
    assert words in fault(lambda: import_ucf101(source, tmp_path / "s"))


@pytest.mark.real_data
def test_a_real_class(tmp_path: Path) -> None:
    path = real_data("ucf101/vgg16_relu6/BodyWeightSquats.npz")
    store = import_ucf101(path.parent, tmp_path / "s", classes=["BodyWeightSquats", "Archery"])
    found = [row for row in store.rows if row.label == "BodyWeightSquats"]
    assert (len(found), store.width, {row.length for row in found}) == (112, 4096, {25})
    sides = [row.splits["01"] for row in found]
    assert (sides.count("train"), sides.count("test")) == (82, 30)
    with np.load(path) as file:
        x = float(file["xmax"]) * (file["q"][100].T / int(file["levels"])) ** 2
        (k,) = [k for k, row in enumerate(store.rows) if row.name == str(file["name"][100])]
    np.testing.assert_array_equal(store.features(k), x.astype(np.float16))
    data = Ucf101(store=tmp_path / "s").load(0)
    assert groups(sets(data)["train"]) == set(range(8, 25))
    assert data.about[-1].startswith("split 01: the test clips are all those of groups 1-7")


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    alike = [row._replace(label="Diving") for row in rows()]
    message = fault(lambda: Ucf101(store=made(tmp_path / "s", alike)).load(0))
    assert "all 51 training clips are of one class, Diving" in message
    assert "look at the labels" in message


# --- the yardstick


def test_logistic_regression_finds_the_minimum() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 4, generator=generator, dtype=torch.float64), torch.arange(60) % 3
    weight, bias = fit(x, y, 3, 0.1)
    weight.requires_grad_()
    bias.requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ weight.T + bias, y) + 0.05 * weight.square().sum()
    assert all(float(g.abs().max()) < 1e-4 for g in torch.autograd.grad(loss, [weight, bias]))


def test_the_yardstick_chooses_on_validation_and_not_on_test(tmp_path: Path) -> None:
    found = mean_pooled_logistic(FeatureStore.open(made(tmp_path / "s")), validation="fold0")
    assert found.test > 0.9
    assert found.sizes == (45, 9, 21)
    tested = [row.name for row in rows(range(1, 8))]
    spoilt = mean_pooled_logistic(FeatureStore.open(made(tmp_path / "t", spoilt=tested)), validation="fold0")
    assert (spoilt.valid, spoilt.penalty) == (found.valid, found.penalty)
    assert spoilt.test < found.test
    with pytest.raises(ConfigError, match="fold0"):
        mean_pooled_logistic(FeatureStore.open(tmp_path / "s"), validation="none")


@pytest.mark.slow
@pytest.mark.real_data
def test_the_yardstick_on_the_real_classes(tmp_path: Path) -> None:
    real_data("ucf101/vgg16_relu6/index.csv")
    store = import_ucf101(data_folder() / "ucf101" / "vgg16_relu6", tmp_path / "s")
    assert mean_pooled_logistic(store).test == pytest.approx(0.939, abs=0.01)
