"""The plan of a sweep: its file, all that can be wrong with it, its members, and how they are cut into shards."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT
from nprnn.cli import main
from nprnn.errors import ConfigError
from nprnn.sweep import Job, Plan, Shard, cut, expand, make_plan, prepare, read_sweep
from nprnn.sweep.shards import end_of
from nprnn.sweep.shelf import Shelf
from nprnn.tasks import TASKS, Addition, Sequences, TaskData
from nprnn.training import TrainConfig

TINY = {"length": 6, "train_size": 40, "valid_size": 10, "test_size": 10, "hidden": 8, "batch": 4, "updates": 24}


def toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def text_of(
    *, grid: dict[str, Any] | None = None, entries: list[dict[str, Any]] | None = None, fixed: Any = TINY, **top: Any
) -> str:
    lines = [f"{name} = {toml(value)}" for name, value in {"task": "addition", **top}.items()]
    tables = [("[settings]", fixed), ("[grid]", grid or {}), *(("[[list]]", entry) for entry in entries or [])]
    for title, table in tables:
        lines += [title, *(f"{name} = {toml(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def test_no_setting_of_a_task_has_the_name_of_one_of_the_training() -> None:
    training = {field.name for field in dataclasses.fields(TrainConfig)}
    for name, task in TASKS.items():
        assert not training & {field.name for field in dataclasses.fields(task)}, name  # type: ignore[arg-type]


def test_the_product_of_all_with_later_settings_over_earlier(tmp_path: Path) -> None:
    text = text_of(
        fixed={"length": 30, "lr": 0.5},
        grid={"model": ["np-rnn", "LSTM"], "clip": [1, 10.0]},
        entries=[{"lr": 0.1}, {"hidden": 7}],
        seeds=[4, 2],
        preset="quick",
    )
    members = expand(read_sweep(written(tmp_path, text)))
    assert len(members) == 2 * 2 * 2 * 2
    got = [(m.config.lr, m.config.hidden, m.config.model, m.config.clip, m.config.seed) for m in members]
    rest = list(itertools.product(["np-RNN", "LSTM"], [1.0, 10.0], [4, 2]))
    assert got == [(0.1, 100, *r) for r in rest] + [(0.5, 7, *r) for r in rest]
    assert {m.config.updates for m in members} == {12_000}, "the preset's, over the default"
    assert {m.task.length for m in members} == {30}, "the file's, over the preset"  # type: ignore[attr-defined]
    assert members[0].label == "lr=0.1 model=np-rnn clip=1 seed=4"


def test_presets_for_a_model_and_none_and_lists_as_values(tmp_path: Path) -> None:
    text = text_of(task="mnist", preset="paper", fixed={}, grid={"model": ["np-RNN", "IRNN"]}, seeds=1)
    np_rnn, irnn = (member.config for member in expand(read_sweep(written(tmp_path, text))))
    assert (np_rnn.optimizer, np_rnn.lr) == ("sgd", 1e-4)
    assert (irnn.optimizer, irnn.lr) == ("rmsprop", 1e-6)
    text = text_of(grid={"truncate": ["none", 3], "cool_at": [[], [0.5, 0.75]]})
    members = expand(read_sweep(written(tmp_path, text)))
    assert [(m.config.truncate, m.config.cool_at) for m in members] == [
        (None, ()),
        (None, (0.5, 0.75)),
        (3, ()),
        (3, (0.5, 0.75)),
    ]


WRONG = {
    "not a file": (None, r"cannot read the sweep file .*: No such file"),
    "no TOML": ('task = "addition"\nseeds = [1,\n\nlr 3', r"not TOML: .*line 4"),
    "no text": (b"task = '\xff'", "not TOML: .*utf-8"),
    "nested": ("task = " + "[" * 100_000, "nested too deeply"),
    "no task": ("seeds = 3", r'name the task first, such as task = "addition"'),
    "task unknown": (text_of(task="addtion"), "unknown task 'addtion'. Did you mean 'addition'"),
    "task no text": (text_of(task=3), "task must be a name in quotes, got 3"),
    "preset unknown": (text_of(preset="papper"), "unknown preset of addition 'papper'. Did you mean 'paper'"),
    "top key": (text_of(seed=3), "unknown key 'seed'. Did you mean 'seeds'"),
    "settings key": (text_of(fixed={"lenght": 3}), r"unknown setting in \[settings\] 'lenght'. Did you mean 'length'"),
    "grid key": (text_of(grid={"clipp": [3]}), r"unknown setting in \[grid\] 'clipp'. Did you mean 'clip'"),
    "list key": (text_of(entries=[{"modell": "IRNN"}]), r"unknown setting in \[list\] 'modell'. Did you mean 'model'"),
    "another task's key": (text_of(grid={"permute": [3]}), r"unknown setting in \[grid\] 'permute'"),
    "settings no table": ('task = "addition"\nsettings = 3', "settings must be a table of settings, got 3"),
    "list no tables": ('task = "addition"\nlist = [3]', "list must be a table of settings, got 3"),
    "list empty": ('task = "addition"\nlist = []', "list takes one or more tables"),
    "grid no list": (text_of(grid={"lr": 0.1}), r"\[grid\] lr must be a list of values, got 0.1; a fixed value"),
    "grid empty": (text_of(grid={"lr": []}), r"\[grid\] lr is an empty list"),
    "grid twice": (text_of(grid={"lr": [1, 0.1, 1.0]}), r"\[grid\] lr holds 1.0 twice"),
    "grid model twice": (text_of(grid={"model": ["IRNN", "np-RNN", "np-rnn"]}), r"model holds 'np-rnn' twice"),
    "model unknown": (text_of(grid={"model": ["LSTN"]}), "unknown model 'LSTN'. Did you mean 'LSTM'"),
    "model no text": (text_of(grid={"model": [3]}), "member model=3 seed=0: model must be a name in quotes, got 3"),
    "settings and grid": (text_of(fixed={"lr": 1}, grid={"lr": [2]}), r"'lr' is in \[settings\] and in \[grid\]"),
    "list and grid": (text_of(entries=[{"lr": 1}], grid={"lr": [2]}), r"'lr' is in \[grid\] and in \[\[list\]\]"),
    "location in grid": (text_of(task="mnist", fixed={}, grid={"data_dir": ["a"]}), r"put it in \[settings\]"),
    "seed in grid": (text_of(grid={"seed": [1]}), r"the seed is in \[grid\]; seeds are named at the top"),
    "seeds empty": (text_of(seeds=[]), "seeds is an empty list"),
    "seeds zero": (text_of(seeds=0), "seeds must be at least 1, got 0"),
    "seeds twice": (text_of(seeds=[1, 2, 1]), "seeds holds 1 twice"),
    "seeds negative": (text_of(seeds=[1, -2]), "seeds must be whole numbers, 0 or more; got -2"),
    "seeds no numbers": (text_of(seeds=["1"]), "seeds must be whole numbers, 0 or more; got '1'"),
    "seeds no list": (text_of(seeds=True), "seeds must be a list such as"),
    "seeds a huge one": (text_of(seeds=10**30), r"to name a single seed write seeds = \[1000"),
    "same members": (
        text_of(entries=[{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}]),
        "two members are the same run, lr=0.1 seed=0 and lr=0.1 momentum=0.9 seed=0; leave one out",
    ),
    "wrong kind": (
        text_of(grid={"lr": [0.1, "fast"]}),
        "member lr=fast seed=0: setting 'lr' must be a number, got the text 'fast'",
    ),
    "wrong value": (text_of(grid={"lr": [0.1, -1]}), "member lr=-1 seed=0: lr must be a finite number above 0, got -1"),
    "wrong task": (text_of(fixed={"length": 1}, seeds=[7]), "member seed=7: length must be at least 2"),
    "batch too large": (text_of(grid={"batch": [4, 50]}, fixed={"train_size": 40}), "member batch=50 seed=0: batch 50"),
    "too many": (
        text_of(grid={"lr": [0.1, 0.2]}, seeds=10_000),
        r"20,000 members \(10,000 seeds × 2 lr\), more than 1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_before_anything_runs(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, message = WRONG[case]
    path = tmp_path / "wrong.toml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for words in ([], ["--dry-run"]):
        assert main(["sweep", str(path), "--out", str(tmp_path / "out"), *words]) == 2
        told = capsys.readouterr().err
        assert re.search(message, told), told
        assert str(path) in told or "member" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "workers must be at least 1, got 0"),
        (["--ensemble", "0"], "ensemble must be at least 1, got 0"),
        (["--max-members", "1"], "asks for 2 members .* --max-members 2"),
    ],
)
def test_wrong_options(tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, text_of(seeds=2))
    assert main(["sweep", str(path), "--out", str(tmp_path / "out"), *words]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_the_page_and_the_example_hold_sweeps(tmp_path: Path) -> None:
    page = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "sweeps.md").read_text(), re.S | re.M)
    assert page
    examples = [path.read_text() for path in (ROOT / "examples").glob("*.toml")]
    assert examples
    for text in [*page, *examples]:
        assert expand(read_sweep(written(tmp_path, text)))


def test_an_output_folder_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, text_of())
    for words in ([], ["--dry-run"]):
        assert main(["sweep", str(path), "--out", str(path / "out"), *words]) == 2
        assert f"cannot write {path / 'out'}" in capsys.readouterr().err


def test_missing_data_are_told_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, text_of(task="mnist", fixed={"data_dir": str(tmp_path / "nowhere")}, seeds=2))
    assert main(["sweep", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_ten_million_members_are_refused_at_once(tmp_path: Path) -> None:
    values = list(range(1, 101))
    text = text_of(grid={"hidden": values, "batch": values, "updates": values}, fixed={}, seeds=10**9)
    path = written(tmp_path, text)
    # Making them first would never end.
    with pytest.raises(ConfigError, match=r"1,000,000,000,000,000 members .*--max-members 1000000000000000"):
        expand(read_sweep(path))


GRIDS = st.dictionaries(
    st.sampled_from(["hidden", "batch", "lr", "updates", "model", "optimizer", "length"]),
    st.integers(1, 3),
    max_size=4,
)
VALUES: dict[str, list[Any]] = {
    "hidden": [4, 8, 5],
    "batch": [1, 2, 3],
    "lr": [0.1, 0.2, 0.3],
    "updates": [10, 20, 3000],
    "model": ["np-RNN", "LSTM", "IRNN"],
    "optimizer": ["sgd", "adam", "rmsprop"],
    "length": [5, 6, 7],
}


@settings(max_examples=60, deadline=None)
@given(sizes=GRIDS, seeds=st.integers(1, 5), workers=st.integers(1, 5), together=st.integers(1, 9))
def test_every_member_of_the_product_is_in_one_shard(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int], seeds: int, workers: int, together: int
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    grid = {name: VALUES[name][:count] for name, count in sizes.items()}
    fixed = {"train_size": 20, "test_size": 3, "valid_size": 2}
    file = read_sweep(written(folder, text_of(grid=grid, fixed=fixed, seeds=seeds)))
    members, facts = prepare(file)
    assert file.count() == len(members)
    product = itertools.product(*grid.values(), range(seeds))
    assert [tuple(member.varied.values()) for member in members] == list(product)
    plan = make_plan(file, folder / "none", members, facts, workers, together)
    assert Counter(k for shard in plan.shards for k in shard.members) == Counter(range(len(members)))
    for shard in plan.shards:
        assert len({plan.group(k) for k in shard.members}) == 1
        assert len(shard) <= together
    assert sum(shard.work for shard in plan.shards) == pytest.approx(
        sum(
            m.config.updates
            * facts[m.task].steps
            * m.config.batch
            * m.config.hidden
            * (m.config.hidden + 2)
            * (4 if m.config.model == "LSTM" else 1)
            for m in members
        )
    )


JOBS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.floats(1, 1e6), st.integers(1, 2000)), min_size=1, max_size=60
)


@settings(max_examples=300, deadline=None)
@given(facts=JOBS, workers=st.integers(1, 6), together=st.integers(1, 70), memory=st.integers(1, 20_000))
def test_shards_are_even_small_enough_and_longest_first(
    facts: list[tuple[int, int, float, int]], workers: int, together: int, memory: int
) -> None:
    jobs = [Job(k, *fact) for k, fact in enumerate(facts)]
    shards = cut(jobs, workers, together=together, memory=memory)
    assert sorted(k for shard in shards for k in shard.members) == list(range(len(jobs)))
    assert [shard.work for shard in shards] == sorted((shard.work for shard in shards), reverse=True)
    by_group: dict[object, list[Shard]] = {}
    for shard in shards:
        (group,) = {jobs[k].group for k in shard.members}
        by_group.setdefault(group, []).append(shard)
        assert len(shard) <= together
        assert shard.memory <= memory or len(shard) == 1
    sizes = {group: [len(shard) for shard in own] for group, own in by_group.items()}
    assert all(max(found) - min(found) <= 1 for found in sizes.values())
    fewest = {}
    for group, found in sizes.items():
        largest = max(job.memory for job in jobs if job.group == group)
        fewest[group] = math.ceil(sum(found) / max(1, min(together, memory // largest)))
    share = sum(job.work for job in jobs) / workers
    even = end_of(shards, workers, lambda shard: shard.work) <= 1.1 * share
    if even and all(len(found) == fewest[group] for group, found in sizes.items()):
        return
    for group, own in by_group.items():
        assert len(own) >= fewest[group]
        if sum(shard.work for shard in own) > share:
            assert len(own) % workers == 0 or len(own) == sum(sizes[group])


@dataclasses.dataclass(frozen=True)
class Counted:
    """A task that counts how often it is loaded."""

    task: Any
    loads: list[int] = dataclasses.field(default_factory=list, hash=False)

    def load(self, seed: int) -> TaskData:
        self.loads.append(seed)
        return self.task.load(seed)


def test_data_are_loaded_once_and_shared(tmp_path: Path) -> None:
    shelf, addition = Shelf(), Counted(Addition(length=6, train_size=9, valid_size=3, test_size=3))
    first, other = shelf.get(addition, 0), shelf.get(addition, 1)
    assert shelf.get(addition, 0) is first
    assert shelf.get(addition, 1) is other
    assert addition.loads == [0, 1]
    assert first.train is not other.train
    assert (first.valid, first.test) == (other.valid, other.test)
    assert first.test is other.test

    np.savez(tmp_path / "data.npz", x=np.ones((30, 5, 2), np.float32), y=np.arange(30) % 2)
    seedless = Counted(Sequences(data=tmp_path / "data.npz"))
    assert len({id(shelf.get(seedless, seed)) for seed in range(5)}) == 1
    assert seedless.loads == [0, 1], "two seeds show that all are alike"


def test_one_seed_stays_together_and_small_groups_stay_whole() -> None:
    jobs = [Job(k, "big", k % 4, 100.0, 1) for k in range(40)]
    shards = cut([*jobs, *(Job(40 + k, "small", k, 1.0, 1) for k in range(4))], 2)
    assert [len(shard) for shard in shards] == [20, 20, 4]
    assert [sorted({k % 4 for k in shard.members}) for shard in shards[:2]] == [[0, 1], [2, 3]]
    assert [shard.seeds for shard in shards] == [2, 2, 4]
    assert sorted(len(shard) for shard in cut(jobs, 3, together=5)) == [4, 4, 4, 4, 4, 5, 5, 5, 5]


def jobs_of(*groups: tuple[int, float], memory: int = 1, begun: Sequence[str] = ()) -> list[Job]:
    """Groups called "a", "b" and so on, each of so many members of so much work each, a seed a member."""
    names = [(chr(ord("a") + k), seed, work) for k, (count, work) in enumerate(groups) for seed in range(count)]
    return [Job(k, name, seed, work, memory, name in begun) for k, (name, seed, work) in enumerate(names)]


def contents(shards: Sequence[Shard]) -> list[tuple[tuple[int, ...], float]]:
    return [(shard.members, shard.work) for shard in shards]


def test_groups_stay_whole_where_they_can_be_shared_out_evenly() -> None:
    whole = [((0, 1, 2, 3), 60.0), ((4, 5, 6, 7), 40.0), ((8, 9, 10, 11), 20.0)]
    jobs = jobs_of((4, 15), (4, 10), (4, 5))
    assert contents(cut(jobs, 2)) == whole, "60 on one worker, 40 and 20 on the other"
    assert contents(cut(jobs, 1)) == whole
    # 60, 40 and 8: 60 is more than 1.1 times the even share of 54. 60, 40 and 9.2: it is not.
    halves = [((0, 1), 30.0), ((2, 3), 30.0), ((4, 5), 20.0), ((6, 7), 20.0)]
    small = ((8, 9, 10, 11), 8.0)
    assert contents(cut(jobs_of((4, 15), (4, 10), (4, 2)), 2)) == [*halves, small], "8 is too small to cut"
    assert [len(shard) for shard in cut(jobs_of((4, 15), (4, 10), (4, 2.3)), 2)] == [4, 4, 4]


def test_groups_are_cut_where_workers_would_wait() -> None:
    assert contents(cut(jobs_of((4, 15)), 2)) == [((0, 1), 30.0), ((2, 3), 30.0)]
    assert contents(cut(jobs_of((4, 15)), 3)) == [((2, 3), 30.0), ((0,), 15.0), ((1,), 15.0)]
    thirds = [((0, 1), 10.0), ((2, 3), 10.0), ((4, 5), 10.0)]
    assert contents(cut(jobs_of((6, 5), (6, 5)), 3)) == [*thirds, *(((a + 6, b + 6), work) for (a, b), work in thirds)]


def test_memory_and_the_largest_shard_cut_and_nothing_else_where_that_is_even() -> None:
    quarters = [((0, 1), 10.0), ((2, 3), 10.0), ((4, 5), 10.0), ((6, 7), 10.0)]
    jobs = jobs_of((4, 5), (4, 5), memory=50)
    assert contents(cut(jobs, 2, memory=100)) == quarters
    assert contents(cut(jobs, 2, together=2)) == quarters
    # Three shards of two, by memory, and a whole group: 30 on each of two workers.
    jobs = [*jobs_of((6, 5), memory=50), *(Job(k, "b", k, 10.0, 1) for k in (6, 7, 8))]
    assert contents(cut(jobs, 2, memory=100)) == [((6, 7, 8), 30.0), ((0, 1), 10.0), ((2, 3), 10.0), ((4, 5), 10.0)]
    # Alone, three shards are not even on two workers.
    assert [len(shard) for shard in cut(jobs[:6], 2, memory=100)] == [2, 2, 1, 1]


def test_what_is_begun_comes_first_and_so_it_is_counted() -> None:
    # By length 60, 40, 20 would be even; 20 and 40, which were begun, come first, and 60 then ends at 80.
    shards = cut(jobs_of((4, 15), (4, 10), (4, 5), begun="bc"), 2)
    assert [(shard.begun, shard.work) for shard in shards] == [
        *[(True, 20.0), (True, 20.0), (True, 10.0), (True, 10.0)],
        *[(False, 30.0), (False, 30.0)],
    ]
    whole = cut(jobs_of((4, 15), (4, 10), (4, 5), begun="a"), 2)
    assert [(shard.begun, shard.work) for shard in whole] == [(True, 60.0), (False, 40.0), (False, 20.0)]


def test_the_end_is_when_the_last_worker_ends() -> None:
    shards = [Shard((k,), float(seconds), 1, 1) for k, seconds in enumerate([5, 4, 3, 3])]
    assert end_of(shards, 2, lambda shard: shard.work) == 8.0
    assert end_of(shards, 9, lambda shard: shard.work) == 5.0
    assert end_of([], 2, lambda shard: shard.work) == 0.0


def test_planning_grows_with_the_members_and_no_faster(tmp_path: Path) -> None:
    values = [k / 1000 for k in range(1, 101)]

    def planned(seeds: int) -> tuple[Plan, int]:
        """The plan, and how many calls it took."""
        calls = 0

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        file = read_sweep(written(tmp_path, text_of(grid={"lr": values, "clip": values[:10]}, seeds=seeds)))
        sys.setprofile(count)
        try:
            members, facts = prepare(file)
            return make_plan(file, tmp_path / "none", members, facts, 2), calls
        finally:
            sys.setprofile(None)

    (_, few), (plan, many) = planned(1), planned(10)
    assert many < 12 * few
    assert sum(map(len, plan.shards)) == 10_000
    assert {len(shard) for shard in plan.shards} <= {63, 64}
