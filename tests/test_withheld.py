"""Training that reads the training and validation sets alone, and proof of it from the indices that were asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nprnn.cli import main
from nprnn.configs import as_record, from_record
from nprnn.errors import ConfigError
from nprnn.tasks import Batch, Split, TaskData, find_task
from nprnn.training import Member, TrainConfig, start_run, train_ensemble
from nprnn.training.readings import CHOSEN, FINAL, readings, side
from nprnn.training.readout import eval_batch, predict

CONFIG = TrainConfig(hidden=6, batch=4, updates=20, eval_every=5, lr=0.01, withhold_test=True)


class Recorded:
    """A set that writes down what is asked of it."""

    def __init__(self, inner: Split) -> None:
        self.inner = inner
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, index: Tensor) -> Batch:
        self.asked += index.tolist()
        return self.inner.batch(index)


def recorded(length: int = 6) -> tuple[TaskData, Sequence[Recorded]]:
    data = find_task("addition")(length=length, train_size=40, valid_size=8, test_size=8).load(0)  # type: ignore[call-arg]
    assert data.valid is not None
    sets = [Recorded(part) for part in (data.train, data.valid, data.test)]
    return dataclasses.replace(data, train=sets[0], valid=sets[1], test=sets[2]), sets


def run_all(data: TaskData, config: TrainConfig, folder: Path) -> list[Member]:
    task = find_task("addition")(length=6, train_size=40, valid_size=8, test_size=8)  # type: ignore[call-arg]
    configs = [dataclasses.replace(config, model=name) for name in ("np-RNN", "IRNN")]
    members = [Member(c, data, start_run("addition", task, c, data, folder)) for c in configs]
    assert [outcome.state for outcome in train_ensemble(members)] == ["finished", "finished"]
    return members


def test_the_test_set_is_never_asked(tmp_path: Path) -> None:
    data, (train, valid, test) = recorded()
    members = run_all(data, CONFIG, tmp_path)
    assert set(train.asked) == set(range(40))
    assert set(valid.asked) == set(range(8))
    assert test.asked == []
    for member in members:
        assert [set(record) & {"valid", "test"} for record in member.run.records()] == [{"valid"}] * 4
        assert side(member.run.records()[-1]) == "valid"


def test_without_it_the_test_set_is_asked(tmp_path: Path) -> None:
    data, (_, _, test) = recorded()
    run_all(data, dataclasses.replace(CONFIG, withhold_test=False), tmp_path)
    assert set(test.asked) == set(range(8))


def test_readings_are_of_the_validation_set(tmp_path: Path) -> None:
    data, _ = recorded()
    (member, _) = run_all(data, CONFIG, tmp_path)
    records = member.run.records()
    found = readings(records, "mse", False)
    assert found[FINAL] == records[-1]["valid"]
    assert found[CHOSEN]["mse"] == min(record["valid"]["mse"] for record in records)


def test_numbers_are_those_of_a_run_that_reads_both(tmp_path: Path) -> None:
    data, _ = recorded()
    withheld = run_all(data, CONFIG, tmp_path / "a")
    both = run_all(data, dataclasses.replace(CONFIG, withhold_test=False), tmp_path / "b")
    for one, other in zip(withheld, both, strict=True):
        for a, b in zip(one.run.records(), other.run.records(), strict=True):
            assert (a["loss"], a["valid"]) == (b["loss"], b["valid"])


def test_nothing_to_judge_by_is_refused(tmp_path: Path) -> None:
    data, _ = recorded()
    bare = dataclasses.replace(data, valid=None)
    task = find_task("addition")(length=6)  # type: ignore[call-arg]
    member = Member(CONFIG, bare, start_run("addition", task, CONFIG, bare, tmp_path))
    with pytest.raises(ConfigError, match="withhold_test leaves nothing to judge by"):
        train_ensemble([member])


def test_runs_recorded_before_the_setting_came_keep_their_identity() -> None:
    assert "withhold_test" not in as_record(TrainConfig())
    assert as_record(CONFIG)["withhold_test"] is True
    assert from_record(TrainConfig, as_record(CONFIG)) == CONFIG


def test_command_line_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "addition", "--length", "6", "--train-size", "40", "--valid-size", "8", "--test-size", "8"]
    words += ["--hidden", "6", "--batch", "4", "--updates", "20", "--eval-every", "5", "--withhold-test"]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 0
    assert "valid, final" in capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "curve.png").exists()
    assert main(["runs", str(tmp_path / "runs")]) == 0
    assert "finished" in capsys.readouterr().out
    record = tmp_path / "study.json"
    words = ["report", str(tmp_path / "runs"), "--out", str(tmp_path / "r.html"), "--json", str(record)]
    assert main([*words, "--csv", str(tmp_path / "csv")]) == 0
    assert json.loads(record.read_text())["studies"][0]["side"] == "valid"
    page = (tmp_path / "r.html").read_text()
    assert "<th>valid mse</th>" in page
    assert "<th>test mse</th>" not in page
    # The test set is read when it is asked for.
    assert main(["eval", str(folder)]) == 0
    assert json.loads((folder / "eval.json").read_text())["sequences"] == 8


@pytest.mark.parametrize(("numbers", "count"), [(0, 500), (1, 500), (784, 500), (4096 * 25, 327), (1 << 30, 1)])
def test_wide_inputs_are_judged_a_few_at_a_time(numbers: int, count: int) -> None:
    assert eval_batch(numbers) == count


def test_a_set_is_judged_whole_in_order_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    data, (_, _, test) = recorded(length=9)
    from nprnn.training.members import start_model

    model = start_model(CONFIG, data)
    whole, y = predict(model, test, "last", steps_have_targets=False)
    monkeypatch.setattr("nprnn.training.readout._EVAL_NUMBERS", 9 * 2 * 3)
    test.asked.clear()
    parts, y_parts = predict(model, test, "last", steps_have_targets=False)
    assert test.asked == [0, *range(8)]
    torch.testing.assert_close(parts, whole)
    assert torch.equal(y, y_parts)
