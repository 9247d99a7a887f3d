"""The report on many runs: which are found, what is counted, what is chosen, and that no stranger's text does harm."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import math
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nprnn.cli import main
from nprnn.configs import as_record
from nprnn.errors import ConfigError, InputError, RunError
from nprnn.reporting import Criterion, assemble, find_runs, wilson, write_record, write_report
from nprnn.reporting.drawing import Scale, short, spread
from nprnn.reporting.heatmaps import heat_map
from nprnn.reporting.members import clean, read_members, show
from nprnn.reporting.record import as_study_record
from nprnn.reporting.study import Study, studies
from nprnn.reporting.tables import as_csv
from nprnn.runs import LAST, Checkpoint, Run
from nprnn.runs.checkpoint import pack
from nprnn.runs.run import RECORDED
from nprnn.training import TrainConfig
from small_runs import unchecked

PNG = b"\x89PNG\r\n\x1a\n"
UPDATES = 30


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are composed but not drawn, which takes nearly all of a report's time."""
    for module in ("curves", "panels", "heatmaps", "dots"):
        monkeypatch.setattr(f"nprnn.reporting.{module}.png", lambda figure: PNG)


def make_run(
    parent: Path,
    value: float | None,
    *,
    valid: float | None = None,
    done: int = UPDATES,
    diverged: int | None = None,
    task: str = "addition",
    task_config: dict[str, Any] | None = None,
    metric: str = "mse",
    baseline: float = 1 / 6,
    name: str | None = None,
    **train: Any,
) -> Path:
    """A run folder as training leaves it: an evaluation every 10 updates, the last with this test value."""
    config = as_record(TrainConfig(**{"updates": UPDATES, "eval_every": 10, "hidden": 8, "clip": 1.0, **train}))
    settings = {
        "task": task,
        "task_config": {"length": 8, "marks": "uniform", **(task_config or {})},
        "train_config": config,
        "data": json.dumps(task_config),
        "model": {"input_size": 2, "output_size": 1, "class_names": None, "judged_at": "last"},
        "objective": {"headline": metric, "higher_is_better": metric == "accuracy", "baseline": {metric: baseline}},
    }
    run = Run.create(parent, name or f"{task}-{config['model']}-s{config['seed']}", settings, {"kernel": "avx2"})
    for update in range(10, done + 1, 10):
        test = (value or 0.0) * (1 + (done - update) / 100)
        numbers = {"loss": test, "gradient_norm": 1.0, "lr": config["lr"], "updates_per_second": 9.0}
        sets: dict[str, Any] = {"test": {metric: test, "within_0.04": 0.5}}
        if valid is not None:
            sets["valid"] = {metric: valid}
        run.append({"update": update, **numbers, **sets})
    if diverged is not None:
        run.write("diverged.json", json.dumps({"update": diverged}).encode())
    return run.folder


def grid(parent: Path, seeds: int = 2, models: tuple[str, ...] = ("np-RNN", "IRNN")) -> None:
    for m, model in enumerate(models):
        for lr in (0.003, 0.01, 0.03):
            for clip in (1.0, 10.0):
                for seed in range(seeds):
                    value = 0.001 * (1 + m) * (lr / 0.003) * (1 + 0.1 * seed) * (2 if clip == 1.0 else 1)
                    make_run(parent, value, valid=value, model=model, lr=lr, clip=clip, seed=seed)


def only(folders: list[Path], **options: Any) -> Study:
    (study,) = studies(read_members(folders)[0], **options)
    return study


def page(parent: Path, **options: Any) -> str:
    report = assemble(find_runs([parent]), **options)
    return write_report(report, parent / "report.html").read_text()


def tables(text: str) -> dict[str, str]:
    """The CSV files that a page holds as links."""
    links = re.findall(r'href="data:text/csv;charset=utf-8;base64,([^"]*)" download="([^"]+)"', text)
    return {name: base64.b64decode(content).decode() for content, name in links}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def size(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


# Newcombe (1998), Statistics in Medicine 17, 857-872, Table I, method 3.
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_at_its_ends() -> None:
    z2 = 1.959964**2
    assert wilson(0, 10) == (0.0, pytest.approx(z2 / (10 + z2), rel=1e-12))
    assert wilson(10, 10) == (pytest.approx(10 / (10 + z2), rel=1e-12), 1.0)
    assert wilson(1, 1)[0] == pytest.approx(1 / (1 + z2), rel=1e-12)
    for k, n in ((0, 0), (1, 0), (-1, 3), (4, 3)):
        with pytest.raises(InputError, match=f"got {k} of {n}"):
            wilson(k, n)


@given(n=st.integers(1, 5000), data=st.data())
def test_wilson_solves_its_equation(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    for end in (low, high):
        # The ends are the shares p at which k/n is z standard errors away: a definition that has no centre or half.
        assert (k / n - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mse<0.01", ("mse", "<", 0.01)),
        (" within_0.04 > 0.9 ", ("within_0.04", ">", 0.9)),
        ("accuracy>.5", ("accuracy", ">", 0.5)),
        ("my metric<-1e-3", ("my metric", "<", -0.001)),
    ],
)
def test_a_criterion_is_read(text: str, expected: tuple[str, str, float]) -> None:
    found = Criterion.parse(text)
    assert (found.metric, found.sign, found.bound) == expected


@pytest.mark.parametrize(
    "text", ["", "mse", "mse<", "<0.1", "mse=0.1", "mse<=0.1", "mse<a", "mse<nan", "mse<inf", "0<mse<1"]
)
def test_a_criterion_that_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match=r"such as 'mse<0\.01'"):
        Criterion.parse(text)


@pytest.mark.usefixtures("undrawn")
def test_defaults_of_success(tmp_path: Path) -> None:
    for k, value in enumerate((0.0166, 0.0167, 0.1)):
        make_run(tmp_path, value, seed=k)
    for k, value in enumerate((0.5545, 0.556, 0.9)):
        make_run(tmp_path, value, seed=k, task="sequences", metric="accuracy", baseline=0.11)
    regression, classes = assemble(find_runs([tmp_path])).sections
    assert (regression.rates[0].successes, regression.rates[0].runs) == (1, 3)
    assert (classes.rates[0].successes, classes.rates[0].runs) == (2, 3)
    asked = assemble(find_runs([tmp_path]), success="mse<1e-9").sections
    assert [section.rates[0].successes for section in asked] == [0, 2], "the other task keeps its own criterion"
    with pytest.raises(ConfigError, match=r"unknown metric 'mes'. Did you mean 'mse'\?"):
        assemble(find_runs([tmp_path]), success="mes<1")


def test_runs_are_found_however_deep_and_once(tmp_path: Path) -> None:
    deep = make_run(tmp_path / "sweeps" / "a" / "b", 0.1)
    flat = make_run(tmp_path, 0.1, seed=1)
    make_run(tmp_path / ".hidden", 0.1, seed=2)
    make_run(flat, 0.1, seed=3)  # what lies in a run folder is the run's own
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "sweeps" / "link").symlink_to(flat)
    (tmp_path / "file").write_text("x")
    assert {p.resolve() for p in find_runs([tmp_path])} == {deep.resolve(), flat.resolve()}
    assert find_runs([flat, flat, tmp_path / "sweeps" / "a"]) == [flat, deep]
    with pytest.raises(RunError, match="nowhere is not a run folder and holds none"):
        find_runs([tmp_path, tmp_path / "nowhere"])


@pytest.mark.usefixtures("undrawn")
def test_a_copy_of_a_run_is_not_a_seed(tmp_path: Path) -> None:
    first = make_run(tmp_path, 0.1, done=20)
    make_run(tmp_path, 0.1, seed=1)
    shutil.copytree(first, tmp_path / "copy")
    record = json.loads(unchecked(first).splitlines()[-1])
    with (tmp_path / "copy" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**record, "update": UPDATES}) + "\n")
    members, left_out = read_members(find_runs([tmp_path]))
    assert sorted((m.folder == "copy", m.seed, m.state) for m in members) == [
        (False, 1, "finished"),
        (True, 0, "finished"),
    ]
    assert [(e.folder, "the same settings" in e.reason) for e in left_out] == [(first.name, True)]
    text = page(tmp_path)
    assert "LEFT OUT: 1 folder" in text
    assert f"<code>{first.name}</code>: a copy" in text


DAMAGE: dict[str, tuple[str, str]] = {
    "not JSON": ("config.json", "{"),
    "a list": ("config.json", "[1]"),
    "no settings": ("config.json", '{"format": 1}'),
    "deep": ("config.json", "[" * 100_000),
    "no text": ("metrics.jsonl", "\udcff"),
    "a gap": ("metrics.jsonl", "{}\n{}\n"),
    "another metric": (
        "metrics.jsonl",
        '{"update": 30, "loss": 1, "gradient_norm": 1, "lr": 1, "updates_per_second": 1, "test": {"other": 1}}\n',
    ),
}


@pytest.mark.usefixtures("undrawn")
def test_damaged_runs_are_listed_and_stop_nothing(tmp_path: Path) -> None:
    make_run(tmp_path, 0.1)
    for k, (file, content) in enumerate(DAMAGE.values(), 1):
        folder = make_run(tmp_path, 0.1, seed=k, name=f"damaged{k}")
        (folder / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    huge = make_run(tmp_path, 0.1, seed=90, name="damaged8")
    text = (huge / "config.json").read_text()
    (huge / "config.json").write_text(text.replace('"lr": 0.03', '"lr": 1' + "0" * 400))
    report = assemble(find_runs([tmp_path]))
    assert report.runs == 1
    assert sorted(Path(e.folder).name[:8] for e in report.left_out) == [f"damaged{k}" for k in range(1, 9)]
    assert "LEFT OUT: 8 folders" in write_report(report, tmp_path / "r.html").read_text()
    with pytest.raises(RunError, match=r"none of 1 runs can be read; .*damaged"):
        assemble([huge])


@pytest.mark.usefixtures("undrawn")
def test_diverged_runs_are_failures_and_unfinished_ones_are_not_counted(tmp_path: Path) -> None:
    make_run(tmp_path, 0.001, seed=0)
    make_run(tmp_path, 0.1, seed=1)
    make_run(tmp_path, 0.001, seed=2, done=20, diverged=25)
    make_run(tmp_path, None, seed=3, done=0, diverged=3)
    make_run(tmp_path, 0.001, seed=4, done=20)
    make_run(tmp_path, None, seed=5, done=0)
    nan = make_run(tmp_path, 0.001, seed=6)
    (nan / "metrics.jsonl").write_text(unchecked(nan).replace('"loss": 0.001,', '"loss": NaN,'))
    (section,) = assemble(find_runs([tmp_path])).sections
    (rate,) = section.rates
    assert (rate.successes, rate.runs, rate.diverged, rate.not_finished) == (1, 5, 3, 2)
    assert (rate.low, rate.high) == wilson(1, 5)
    text = page(tmp_path)
    assert "NOT FINISHED: 2 of 7 runs" in text
    assert "<td>1 of 5</td><td>0.200</td>" in text
    assert "diverged at update 25" in text
    assert "20 of 30 updates" in text
    assert "<td>20 of 30</td>" in text
    assert "built-in" not in text
    written = tables(text)
    states = {(row["seed"], row["state"], row["success"]) for row in rows(written["1-addition-runs.csv"])}
    assert states == {
        ("0", "finished", "true"),
        ("1", "finished", "false"),
        ("2", "diverged", "false"),
        ("3", "diverged", "false"),
        ("4", "not finished", "open"),
        ("5", "not finished", "open"),
        ("6", "diverged", "false"),
    }


@pytest.mark.usefixtures("undrawn")
def test_a_study_where_nothing_has_ended_has_curves_and_no_rates(tmp_path: Path) -> None:
    make_run(tmp_path, 0.1, done=10)
    make_run(tmp_path, None, seed=1, done=0)
    (section,) = assemble(find_runs([tmp_path])).sections
    assert [p.kind for p in section.pictures] == ["curves"]
    assert section.rates == []
    assert "NOT FINISHED: 2 of 2 runs" in page(tmp_path)
    with pytest.raises(RunError, match="has no evaluation yet; go on with `nprnn train`"):
        assemble(find_runs([make_run(tmp_path / "other", None, done=0)]))


@pytest.mark.usefixtures("undrawn")
def test_what_varies_most_is_drawn_unless_keys_say_otherwise(tmp_path: Path) -> None:
    for lr, clip, hidden in ((0.1, 1.0, 8), (0.2, 2.0, 9), (0.3, 1.0, 8), (0.3, 3.0, 9), (0.4, 3.0, 9)):
        make_run(tmp_path, 0.1, lr=lr, clip=clip, hidden=hidden)
    folders = find_runs([tmp_path])
    study = only(folders)
    assert study.keys == ("lr", "clip", "hidden")
    assert study.axes == ("lr", "clip")
    assert only(folders, keys=("hidden", "lr")).axes == ("hidden", "lr")
    assert only(folders, keys=("clip",)).axes == ("clip",)
    for keys, message in (
        (("lrr",), "unknown setting 'lrr'. Did you mean 'lr'"),
        (("decay",), "decay does not vary among these runs; what varies: lr, clip, hidden"),
        (("lr", "lr"), "two different ones"),
        (("lr", "clip", "hidden"), "one setting or two"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            assemble(folders, keys=keys)
    assert "pooled over in each cell: hidden." in page(tmp_path)


def test_task_settings_join_a_study_where_they_can_be_compared(tmp_path: Path) -> None:
    make_run(tmp_path, 0.1, task_config={"length": 50})
    make_run(tmp_path, 0.1, task_config={"length": 100})
    make_run(tmp_path, 0.1, task_config={"length": 100, "marks": "halves"})
    make_run(tmp_path, 0.1, task_config={"length": 200}, lr=0.5)  # trained as none of the others
    found = studies(read_members(find_runs([tmp_path]))[0])
    assert sorted((s.title, s.keys) for s in found) == [
        ("addition: length 100, marks halves", ()),
        ("addition: length 200, marks uniform", ()),
        ("addition: marks uniform", ("length",)),
    ]
    joined = studies(read_members(find_runs([tmp_path]))[0], keys=("marks",))
    assert {s.keys for s in joined} == {("length", "marks"), ()}


def test_experiments_in_folders_of_their_own_stay_apart_unless_asked(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 0.1, task_config={"length": 50})
    make_run(tmp_path / "b", 0.1, task_config={"length": 100})
    members = read_members(find_runs([tmp_path]))[0]
    assert len(studies(members)) == 2
    (study,) = studies(members, keys=("length",))
    assert study.values("length") == [50, 100]


def test_equal_settings_on_other_data_are_another_study(tmp_path: Path) -> None:
    folders = [make_run(tmp_path, 0.1), make_run(tmp_path, 0.1, seed=1, name="other")]
    path = folders[1] / "config.json"
    path.write_text(path.read_text().replace('"data": "null"', '"data": "other"'))
    assert len(studies(read_members(folders)[0])) == 2


def test_a_run_older_than_a_setting_has_its_default(tmp_path: Path) -> None:
    folders = [make_run(tmp_path, 0.1, name="older"), make_run(tmp_path, 0.1, seed=1)]
    config = json.loads((folders[0] / "config.json").read_text())
    del config["train_config"]["dropout"]
    config["train_config"]["clip"] = 1  # and 1 is 1.0
    (folders[0] / "config.json").write_text(json.dumps(config))
    assert only(folders).keys == ()


@pytest.mark.usefixtures("undrawn")
def test_a_setting_that_came_later_stands_at_its_default_among_its_values(tmp_path: Path) -> None:
    for rate in (3.0, 1.0, 0.1):
        make_run(tmp_path, 0.1, lr_hh=rate)
    study = only(find_runs([tmp_path]))
    assert study.keys == ("lr_hh",)
    assert [member.settings["lr_hh"] for member in study.members] == [0.1, 1.0, 3.0]


@pytest.mark.parametrize("state", ["finished", "diverged", "not finished"])
@pytest.mark.usefixtures("undrawn")
def test_evaluations_that_were_lost_are_told_of_every_run(tmp_path: Path, state: str) -> None:
    done = UPDATES if state == "finished" else UPDATES - 10
    folder = make_run(tmp_path, 0.1, done=done, diverged=done if state == "diverged" else None)
    assert only([folder]).members[0].remarks == ()
    count = len(Run.open(folder).records())
    (folder / LAST).write_bytes(pack(Checkpoint({}, done, {RECORDED: count + 1})))
    (member,) = only([folder]).members
    assert member.state == state
    assert f"has lost 1 of {count + 1} evaluations" in member.remarks[0]
    assert "has lost 1 of" in page(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_the_best_setting_is_chosen_by_validation_and_by_whole_settings(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(tmp_path, 0.02, valid=0.01 + 0.01 * seed, lr=0.1, seed=seed)  # best on validation
        make_run(tmp_path, 0.001, valid=0.03, lr=0.2, seed=seed)  # best on test
    make_run(tmp_path, 0.0001, valid=0.0001, lr=0.3, seed=0)
    make_run(tmp_path, 0.0001, valid=0.0001, lr=0.3, seed=1, done=20, diverged=21)
    make_run(tmp_path, 0.0001, lr=0.4, seed=0)
    study = only(find_runs([tmp_path]))
    cell = study.best["np-RNN"]
    assert cell.values == {"lr": 0.1}
    assert cell.validation == pytest.approx(0.015)
    assert cell.mean == pytest.approx(0.02)
    text = page(tmp_path)
    best = rows(tables(text)["1-addition-best.csv"])
    assert [(row["setting lr"], row["seeds"], row["finished"]) for row in best] == [("0.1", "0 1", "2")]
    assert "Best setting of each model, chosen by validation" in text


def test_accuracy_is_better_when_higher(tmp_path: Path) -> None:
    for lr, value in ((0.1, 0.7), (0.2, 0.9)):
        make_run(tmp_path, value, valid=value, lr=lr, task="sequences", metric="accuracy", baseline=0.2)
    assert only(find_runs([tmp_path])).best["np-RNN"].values == {"lr": 0.2}


@pytest.mark.usefixtures("undrawn")
def test_nothing_is_chosen_without_validation(tmp_path: Path) -> None:
    for k in range(16):
        make_run(tmp_path, 0.1, lr=0.1 + k / 100)
    text = page(tmp_path)
    assert "no setting is chosen" in text
    assert "Best setting" not in text


def test_a_cell_is_the_mean_over_its_finished_runs(tmp_path: Path) -> None:
    grid(tmp_path)
    make_run(tmp_path, 0.5, lr=0.003, clip=1.0, seed=7, diverged=31)
    text = page(tmp_path)
    written = tables(text)
    assert set(written) == {
        f"1-addition-{kind}.csv"
        for kind in ("curves", "sensitivity", "seeds", "success", "best", "settings", "footprint", "runs")
    }
    cells = rows(written["1-addition-sensitivity.csv"])
    assert len(cells) == 2 * 3 * 2
    (cell,) = (
        row for row in cells if (row["model"], row["setting lr"], row["setting clip"]) == ("np-RNN", "0.003", "1.0")
    )
    assert float(cell["mean test mse"]) == pytest.approx(0.0021, rel=1e-12)
    assert (cell["finished"], cell["diverged"], cell["seeds"]) == ("2", "1", "0 1 7")
    assert len(rows(written["1-addition-curves.csv"])) == 25 * 3
    assert "×k: k runs of the cell diverged" in text
    assert "mean over 2 finished runs" in text
    pictures = [base64.b64decode(p) for p in re.findall(r'src="data:image/png;base64,([^"]+)"', text)]
    assert len(pictures) == 4
    assert all(p.startswith(PNG) for p in pictures)
    assert text.count("<details>") == 0, "25 runs stay open"


@pytest.mark.usefixtures("undrawn")
def test_a_page_needs_nothing_from_outside_and_no_script(tmp_path: Path) -> None:
    grid(tmp_path, seeds=3)
    text = page(tmp_path)
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)
    assert set(re.findall(r'(?:src|href)="([a-z]+:[a-z]+/[a-z]+)', text)) == {"data:image/png", "data:text/csv"}
    assert "<summary>all 36 runs</summary>" in text


HOSTILE = "=HYPERLINK(1)<script>alert(1)</script>\"'&$\\frac$\x1b[31m\n\u202e"


@pytest.mark.filterwarnings("error")
def test_hostile_text_does_no_harm(tmp_path: Path) -> None:
    for k in range(2):
        folder = make_run(
            tmp_path,
            0.1,
            seed=k,
            valid=0.1,
            lr=0.1 * (k + 1),
            task="t",
            task_config={"marks": HOSTILE, HOSTILE: HOSTILE},
        )
        config = json.loads((folder / "config.json").read_text())
        config["task"] = HOSTILE
        config["train_config"]["model"] = f"{HOSTILE}{k}"
        config["train_config"][HOSTILE] = [HOSTILE, k]
        config["train_config"]["fan"] = f"\ud800{k}"
        config["train_config"]["eps"] = math.nan
        config["objective"]["headline"] = HOSTILE
        config["objective"]["baseline"] = {HOSTILE: 0.5}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "metrics.jsonl").write_text(unchecked(folder).replace('"mse"', json.dumps(HOSTILE)))
        folder.rename(tmp_path / f"=cmd|x<script>{k}\udcff")
    report = assemble(find_runs([tmp_path]), keys=("lr", clean(HOSTILE)))
    text = write_report(report, tmp_path / "r.html").read_text()
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    for alt in re.findall(r"alt=([^>]*)>", text):
        assert re.fullmatch(r'"[^"<>]*" src="data:image/png;base64,[^"]*"', alt)
    for content in tables(text).values():
        for row in csv.reader(io.StringIO(content)):
            for cell in row:
                assert not re.match(r"\s*[=+@]|\s*-(?![\d.])", cell), cell
    assert "'=cmd|x" in tables(text)["1-hyperlink-1-script-alert-1-script-frac-3-runs.csv"]
    write_record(report, tmp_path / "r.json", ["nprnn"])
    assert json.loads((tmp_path / "r.json").read_text())["studies"][0]["headline"] == clean(HOSTILE)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", " =1", "\t=1", "\n=1", "＝1", "-"])
def test_text_that_a_spreadsheet_would_run_is_quoted_and_numbers_are_not(text: str) -> None:
    (row,) = rows(as_csv([{"a": text, "b": -1.5, "c": 1 / 3, "d": None, "e": "a=1", "f": True}]))
    assert row == {"a": f"'{text}", "b": "-1.5", "c": repr(1 / 3), "d": "", "e": "a=1", "f": "True"}
    assert as_csv([{text: 1}]).lstrip('"').startswith("'")


def test_values_as_a_person_writes_them() -> None:
    shown = [show(v) for v in (0.001, 1.0, 1e-5, 0.12345678, None, True, [0.5, 0.75], "a\x00b", 20_000, {"a": 1})]
    assert shown == [
        "0.001",
        "1",
        "1e-05",
        "0.12345678",
        "none",
        "true",
        "(0.5, 0.75)",
        "a\ufffdb",
        "20000",
        "{'a': 1}",
    ]
    assert len(clean("x" * 1000)) == 100
    found = [short(v, False) for v in (0, 0.02, 0.00012, 0.0123, 1.5, 12.3, 174, 3.2e7)]
    assert found == ["0", "0.020", "1e-4", "0.012", "1.5", "12", "174", "3e7"]
    assert short(0.9876, True) == "0.988"


def test_axes_hold_their_values_and_far_ones_stand_at_the_edge() -> None:
    scale = Scale.of("mse", [1e-4, 0.0, 5.0, 1e30], 1 / 6)
    assert scale.logarithmic
    assert 0 < scale.low < 1e-4
    assert 10 / 6 < scale.high < 5
    assert scale.beyond([1e-4, 0.0, 5.0, 1e30, 0.1]) == 3
    assert scale.within(1e30) == scale.high
    flat = Scale.of("accuracy", [0.5, 0.5], None)
    assert flat.low < 0.5 < flat.high
    assert Scale.of("mse", [], None).low < Scale.of("mse", [], None).high
    assert spread(50) == spread(50)
    assert all(-0.5 <= offset <= 0.5 for offset in spread(50))


@pytest.mark.parametrize(
    "case", ["no key", "one key", "one key, all diverged", "many values", "text", "zeros", "lost cell"]
)
def test_every_kind_of_study_can_be_drawn(case: str, tmp_path: Path) -> None:
    many = {"many values": 30, "no key": 1}.get(case, 3)
    for model in ("np-RNN", "LSTM"):
        for k in range(many):
            train: dict[str, Any] = {"model": model, "seed": 0}
            if case == "no key":
                train["seed"] = 4
            elif case == "text":
                train |= {"optimizer": ("sgd", "adam", "rmsprop")[k], "cool_at": ((), (0.5,), (0.5, 0.7))[k]}
            elif case == "lost cell":
                train |= {"lr": (0.1, 0.2, 0.3)[k], "clip": (1.0, 2.0, 2.0)[k]}
            else:
                train["lr"] = 0.001 * 1.3**k
            lost = case.endswith("diverged") or (case == "lost cell" and k == 1)
            value = 0.0 if case == "zeros" else 0.1
            make_run(tmp_path, value, valid=value, diverged=31 if lost else None, **train)
    report = assemble(find_runs([tmp_path]))
    (section,) = report.sections
    kinds = [p.kind for p in section.pictures]
    # Two single runs have nothing to draw over, and no rate.
    assert kinds == (["curves", "seeds"] if case == "no key" else ["curves", "sensitivity", "seeds", "success"])
    text = write_report(report, tmp_path / "r.html").read_text()
    sensitivity = [p for p in section.pictures if p.kind == "sensitivity"]
    if case == "many values":
        assert "lines join" not in sensitivity[0].caption
        assert "30 values from 0.001 to" in text
    if case in ("text", "lost cell"):
        assert len(section.study.axes) == 2
        assert "Blank: no run has ended." in sensitivity[0].caption
    for picture in section.pictures:
        assert picture.png.startswith(PNG)
        assert max(size(picture.png)) < 2500


@pytest.mark.usefixtures("undrawn")
def test_a_long_table_is_linked_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid(tmp_path)
    monkeypatch.setattr("nprnn.reporting.page._LONGEST_LINK", 2000)
    parts = {name: content for name, content in tables(page(tmp_path)).items() if "curves" in name}
    assert len(parts) > 1
    assert all(len(content) < 2500 for content in parts.values())
    assert sum(len(rows(content)) for content in parts.values()) == 24 * 3


def test_heat_map_panels_share_a_page(tmp_path: Path) -> None:
    grid(tmp_path, seeds=1, models=("np-RNN", "np-RNN-N2", "IRNN", "iRNN", "nRNN", "oRNN", "gRNN", "LSTM"))
    png, caption = heat_map(only(find_runs([tmp_path])))
    assert size(png)[0] <= 150 * 10.5, "wider than a page"
    assert "Blank" not in caption


@pytest.mark.usefixtures("undrawn")
def test_the_record_describes_itself(tmp_path: Path) -> None:
    grid(tmp_path)
    make_run(tmp_path, 0.1, lr=0.003, seed=9, done=20)
    make_run(tmp_path, 0.1, lr=0.01, clip=10.0, seed=9, diverged=20, momentum=0.9)
    report = assemble(find_runs([tmp_path]), success="mse<0.005")
    record = as_study_record(report, ["nprnn", "report", "x"])
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["format"], record["kind"], record["command"]) == (1, "study", ["nprnn", "report", "x"])
    (study,) = record["studies"]
    assert study["task_settings"] == {"length": 8, "marks": "uniform"}
    assert study["keys"] == {"lr": [0.003, 0.01, 0.03], "clip": [1.0, 10.0]}
    assert study["criterion"] == {"metric": "mse", "sign": "<", "bound": 0.005, "origin": "as asked for"}
    assert study["runs"] == {"finished": 24, "diverged": 1, "not finished": 1}
    assert study["train_settings"]["hidden"] == 8
    assert "lr" not in study["train_settings"]
    assert study["computed_with"] == [{"kernel": "avx2", "runs": 26}]
    first = study["success"][0]
    assert (first["model"], first["k"], first["n"]) == ("np-RNN", 6, 13)
    assert first["wilson_95"] == list(wilson(6, 13))
    # Of six settings one is not whole; of the other five lr 0.003 with clip 10 passes, and lr 0.01 lost a seed.
    assert (first["settings"], first["settings_solved_by_every_seed"]) == (5, 1)
    (lost,) = [cell for cell in study["cells"] if cell["diverged_seeds"]]
    assert (lost["seeds"], lost["diverged_seeds"], len(lost["values"])) == ([0, 1], [9], 2)
    best = study["best_by_validation"][0]
    assert best["settings"] == {"lr": 0.003, "clip": 10.0}
    assert best["seeds"] == [0, 1]
    assert best["test"]["final"]["mean"] == pytest.approx(0.00105)
    assert set(best["test"]) == {"final", "mean of last 10 %", "chosen on validation"}
    # A validation metric that never moves chooses the first evaluation.
    assert best["test"]["chosen on validation"]["mean"] == pytest.approx(0.00105 * 1.2)
    assert all(math.isfinite(cell["mean"]) for cell in study["cells"])


def test_the_command_writes_all_that_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid(tmp_path / "sweep", seeds=3)
    make_run(tmp_path / "sweep", 0.1, lr=0.01, seed=8, done=10)
    (tmp_path / "sweep" / "broken").mkdir()
    (tmp_path / "sweep" / "broken" / "config.json").write_text("{")
    out = tmp_path / "out"
    words = ["report", str(tmp_path), "--out", str(out / "r.html"), "--keys", "clip", "lr", "--success", "mse<0.005"]
    words += ["--csv", str(out / "csv"), "--json", str(out / "r.json"), "--heatmap", str(out / "heat.png")]
    assert main(words) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "NOT FINISHED: 1 of 37 runs" in told
    assert "broken: damaged" in told
    assert "37 runs, report to open" in told
    assert "success is test mse < 0.005" in told
    assert (out / "heat.png").read_bytes().startswith(PNG)
    assert json.loads((out / "r.json").read_text())["command"] == ["nprnn", *words]
    assert json.loads((out / "r.json").read_text())["studies"][0]["axes"] == ["clip", "lr"]
    text = (out / "r.html").read_text()
    assert tables(text) == {p.name: p.read_text() for p in (out / "csv").iterdir()}
    assert "Sensitivity to clip and lr" in text
    assert "test mse &lt; 0.005 by the last iterate (as asked for)" in text
    assert html.unescape(text).count("np-RNN, seed 0, lr 0.003, clip 1\n") <= 1


def test_a_heat_map_of_nothing_or_of_two_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, 0.1)
    words = ["report", str(tmp_path), "--out", str(tmp_path / "r.html"), "--heatmap", str(tmp_path / "h.png")]
    assert main(words) == 2
    assert "got 0 such studies among: addition: length 8" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "r.html").exists()
