"""Settings and files of commands with anything in them: built, and then the same again, or refused by key and file."""

from __future__ import annotations

import copy
import json
import math
import shutil
import tomllib
from collections.abc import Callable
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nprnn.cli import main
from nprnn.configs import as_record, from_record
from nprnn.errors import ConfigError, NprnnError, RunError
from nprnn.experiments.catalogue import find_experiment
from nprnn.experiments.comparison.record import ComparisonRecord, Trained, read_comparison_record
from nprnn.experiments.sweeps import sweep_of
from nprnn.files import parse_json, parse_toml
from nprnn.reporting import find_runs
from nprnn.reporting.members import read_members
from nprnn.runs import Run
from nprnn.sweep import expand, read_sweep
from nprnn.tasks import TASKS, Addition, Mnist, Sequences, Ucf101
from nprnn.training import TrainConfig, load_data, load_trained, start_run, train
from nprnn.video import Picking, Preprocess
from small_runs import CONFIG, TASK

KINDS: list[type[Any]] = [*dict.fromkeys(TASKS.values()), TrainConfig, Preprocess, Picking]
# Of what passes for a value in a file.
ODD = [
    *(None, True, False, -1, 0, 1, 2, 10**400, -(10**400), 2**63, 2**64, 1e308, -1e308, 5e-324),
    *(math.nan, math.inf, -math.inf, "", "\0", "none", "np-RNN", "addition", "auto", "é\U0001f600", "x" * 500),
    *([], [[]], {}, {"": {}}, [1, "a"], [[1.0, 2.0]], [{}]),
]
CALM = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
odd = st.one_of(
    st.sampled_from(ODD).map(copy.deepcopy),
    st.recursive(
        st.integers() | st.floats() | st.text(max_size=8) | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
)


def names_of(kind: type[Any]) -> list[str]:
    return list(kind.__dataclass_fields__)


def same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)


def tried(do: Callable[[], Any], refusal: type[NprnnError]) -> tuple[Any, str]:
    """What it gives, or how it was refused."""
    try:
        return do(), ""
    except refusal as error:
        return None, str(error)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_settings_are_built_or_refused_by_key(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(st.dictionaries(st.sampled_from(names_of(kind)) | st.text(max_size=6), odd, max_size=3))
    made, error = tried(lambda: from_record(kind, record), ConfigError)
    if error:
        # Of two that do not go together one may have been left at its default.
        keys = [*(repr(key)[1:-1] for key in record), *names_of(kind)]
        assert any(key in error for key in keys), error
        return
    told = {**as_record(made), **as_record(made, locations=True)}
    assert all(same(a, b) for a, b in zip(vars(from_record(kind, told)).values(), vars(made).values(), strict=True))
    assert json.loads(json.dumps(told)).keys() == told.keys()


@pytest.mark.parametrize(
    ("kind", "record", "words"),
    [
        (TrainConfig, {"hidden": 2**20 + 1}, "hidden must be at most 1048576"),
        (TrainConfig, {"updates": 2**63}, "updates must be a whole number of 64 bits, got one of 64"),
        (Addition, {"train_size": 2**31}, "train_size 2147483648 times length 100 makes"),
        (Addition, {"length": 2**31, "train_size": 1}, "valid_size 2000 times length"),
        (Sequences, {"window": 2, "stride": 10**400}, "stride must be a whole number of 64 bits"),
        (Ucf101, {"folds": 2**64}, "folds must be a whole number of 64 bits"),
        (Mnist, {"permute": -(2**63) - 1}, "permute must be a whole number of 64 bits"),
        (TrainConfig, {"lr": 10**400}, "setting 'lr' must be"),
        (Preprocess, {"size": 8}, "setting 'resize' is missing"),
    ],
)
def test_sizes_beyond_any_machine_are_refused(kind: type[Any], record: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_record(kind, record)


@pytest.mark.parametrize(
    "words",
    [
        *(["--hidden", "9" * 30], ["--updates", "9" * 5000], ["--train-size", "99999999999"], ["--seed", "-1"]),
        *(["--lr", "nan"], ["--lr", "-inf"], ["--lr", "1e999"], ["--cool-at", "nan"], ["--clip", "inf"], ["--eps", ""]),
        *(["--model", "../x"], ["--model", ""], ["--optimizer", "é"], ["--preset", "\ud800"], ["--no-such", "[" * 999]),
    ],
    ids=lambda words: ascii(" ".join(words)[:30]),
)
def test_odd_words_are_refused_in_words(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["train", "addition", "--out", str(tmp_path), *words])
    except SystemExit as end:  # tyro ends at words that are no options
        status = end.code
    told = capsys.readouterr()
    assert status == 2
    assert words[0] in told.err + told.out or words[0][2:].replace("-", "_") in told.err
    assert "Traceback" not in told.err
    assert not list(tmp_path.iterdir())


# --- TOML


def toml(value: Any) -> str:
    """A value as TOML, which has no null: an empty text stands for it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return hex(value) if value >= 0 and value.bit_length() > 10_000 else str(value)
    clean = "".join(c for c in str(value or "") if not 0xD800 <= ord(c) < 0xE000)
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")


def as_toml(tables: dict[str, Any]) -> str:
    return "".join(f"{toml(str(key))} = {toml(value)}\n" for key, value in tables.items())


def changed(data: st.DataObject, tree: Any) -> Any:
    """The tree with something odd in a place of it, or a key that is gone, doubled or another."""
    tree = copy.deepcopy(tree)
    place, key = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    match data.draw(st.sampled_from(["put", "drop", "double"])):
        case "put":
            place[key] = data.draw(odd)
        case "drop":
            del place[key]
        case "double" if isinstance(place, list):
            place.append(place[key])
        case _:
            place[data.draw(st.text(max_size=5))] = place[key]
    return tree


@CALM
@given(data=st.data())
def test_sweep_files_expand_or_are_refused_by_name(data: st.DataObject, tmp_path: Path) -> None:
    task = data.draw(st.sampled_from(list(TASKS)))
    names = [*names_of(TASKS[task]), *names_of(TrainConfig)]
    table = st.dictionaries(st.sampled_from(names) | st.text(max_size=4), odd, max_size=2)
    grid = st.dictionaries(st.sampled_from(names), st.lists(odd, max_size=3) | odd, max_size=2)
    file = data.draw(
        st.fixed_dictionaries(
            {"task": st.just(task) | odd},
            optional={"seeds": odd, "preset": odd, "settings": table | odd, "grid": grid | odd, "list": odd},
        )
    )
    path = tmp_path / "s.toml"
    path.write_text(as_toml(file), encoding="utf-8")
    members, error = tried(lambda: expand(read_sweep(path), most=50), ConfigError)
    if error:
        assert str(path) in error
    else:
        assert 1 <= len(members) <= 50
        assert len({json.dumps([as_record(m.task), as_record(m.config)]) for m in members}) == len(members)


VALID = b"""task = "addition"
seeds = [0, 1]
[settings]
length = 9
cool_at = [0.5]
[grid]
lr = [0.1, 1e-3]
"""


@CALM
@given(at=st.integers(0, len(VALID)), cut=st.integers(0, 4), put=st.binary(max_size=4))
@example(at=0, cut=0, put=b"x = " + b"[" * 5000)
@example(at=0, cut=0, put=b"x = 0x" + b"f" * 20_000 + b"\n")
@example(at=0, cut=0, put=b"\xff")
def test_sweep_files_with_bytes_changed(at: int, cut: int, put: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(VALID[:at] + put + VALID[at + cut :])
    _, error = tried(lambda: expand(read_sweep(path), most=50), ConfigError)
    assert not error or str(path) in error


@pytest.mark.parametrize("line", ["hidden = 1000000", "length = 2000000", f"seeds = {2**62}", "batch = 0x" + "f" * 99])
def test_a_sweep_that_is_too_large_is_told(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.toml"
    at = "" if line.startswith("seeds") else "[settings]\n"
    path.write_text(f'task = "addition"\n{at}{line}\n')
    status = main(["sweep", str(path), "--out", str(tmp_path / "out"), "--dry-run"])
    told = capsys.readouterr()
    assert status in (0, 2)
    assert status == 0 or "nprnn: error: " in told.err
    assert "Traceback" not in told.err


plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.integers(-(2**63), 2**63 - 1) | st.booleans()


@settings(max_examples=100, deadline=None)
@given(value=plain | st.floats(allow_nan=False) | st.lists(plain, max_size=3))
@example(value='\U0001f600 \x7f " \\ \n')
def test_a_sweep_of_plain_values_has_those_values(value: Any) -> None:
    file = sweep_of("made", "sequences", [0], {"data": value}, entries=[{"lr": value}])
    assert file.settings["data"] == file.entries[0]["lr"] == value
    assert type(file.settings["data"]) is type(value)


@pytest.mark.parametrize("value", [None, {"a": 1}, [{}], date(2000, 1, 1)])
def test_a_sweep_of_other_values_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="'lr' must be a number"):
        sweep_of("made", "addition", [0], {"lr": value})


EXPERIMENTS = {
    file.name: file.read_text() for file in resources.files("nprnn.experiments").iterdir() if file.name.endswith("toml")
}


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_experiments_are_read_or_refused_by_name(name: str, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(as_toml(changed(data, tomllib.loads(EXPERIMENTS[name]))), encoding="utf-8")
    _, error = tried(lambda: find_experiment(str(path)), ConfigError)
    assert not error or name in error


@pytest.mark.parametrize("kind", ["selection", "planes", "comparison"])
@CALM
@given(data=st.data())
def test_experiments_of_anything(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    keys = st.sampled_from([*_keys(), "x"])
    path = tmp_path / "e.toml"
    path.write_text(f'kind = "{kind}"\n' + as_toml(data.draw(st.dictionaries(keys, odd, max_size=6))), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^e\.toml"):
        find_experiment(str(path))


def _keys() -> list[str]:
    return sorted({key for text in EXPERIMENTS.values() for key in tomllib.loads(text)} - {"kind"})


@pytest.mark.parametrize("word", ["..", ".", "", "a/b", "/tmp/a", "C:x", "a\\b", "a\0b"])
def test_an_arm_is_a_folder_among_the_others(word: str, tmp_path: Path) -> None:
    found = tomllib.loads(EXPERIMENTS["table3.toml"])
    before = found["arms"][0]["name"]
    found["arms"][0]["name"] = word
    found["choose_by"] = [word if name == before else name for name in found["choose_by"]]
    path = tmp_path / "e.toml"
    path.write_text(as_toml(found))
    with pytest.raises(ConfigError, match="the folder of its runs"):
        find_experiment(str(path))


# --- run folders


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = TASK.load(0)
    run = start_run("addition", TASK, CONFIG, data, tmp_path_factory.mktemp("runs"))
    train(CONFIG, data, run)
    return run.folder


def looked_at(folder: Path) -> list[Callable[[], object]]:
    return [
        lambda: load_trained(folder),
        lambda: load_data(Run.open(folder)),
        lambda: read_members(find_runs([folder])),
        lambda: Run.open(folder).records(),
    ]


@CALM
@given(data=st.data())
def test_run_folders_with_odd_settings(data: st.DataObject, trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "run", dirs_exist_ok=True)
    name = data.draw(st.sampled_from(["config.json", "env.json", "metrics.jsonl"]))
    if name == "metrics.jsonl":
        lines = (trained / name).read_text().splitlines()
        place = data.draw(st.integers(0, len(lines) - 1))
        lines[place] = json.dumps(changed(data, json.loads(lines[place])))
        (folder / name).write_text("\n".join(lines) + "\n")
    else:
        (folder / name).write_text(json.dumps(changed(data, json.loads((trained / name).read_text()))))
    for look in looked_at(folder):
        _, error = tried(look, NprnnError)
        assert not error or str(folder) in error
    assert main(["runs", str(tmp_path)]) == 0


@pytest.mark.parametrize("name", ["config.json", "env.json", "metrics.jsonl", "diverged.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "NaN", "", "\ufeff{}", "null", "[]"])
def test_run_folders_with_odd_files(name: str, text: str, trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    (folder / name).write_text(text)
    for look in looked_at(folder):
        _, error = tried(look, NprnnError)
        assert not error or str(folder) in error
    assert main(["runs", str(tmp_path)]) == 0
    assert main(["eval", str(folder)]) in (0, 2)


@pytest.mark.parametrize("claim", [{"input_size": 10**12}, {"output_size": 10**12}, {"input_size": -1}])
def test_a_network_is_not_made_on_the_word_of_a_config(claim: dict[str, int], trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["model"] |= claim
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="not of its model"):
        load_trained(folder)


@pytest.mark.parametrize("folder", ["../../precious", "/tmp/precious", "", ".", "..", "a/b"])
def test_a_record_names_no_folder_elsewhere(folder: str, tmp_path: Path) -> None:
    run = Trained("a", 1, 0, "one-12345678", "0" * 16, "finished", 1, 0, [])
    record = ComparisonRecord("k", "", "quick", [], {}, runs=[run])
    record.write(tmp_path)
    assert read_comparison_record(tmp_path).runs == [run]
    path = tmp_path / "record.json"
    path.write_text(path.read_text().replace('"one-12345678"', json.dumps(folder)))
    with pytest.raises(RunError, match="is no name of a run folder"):
        read_comparison_record(tmp_path)


# --- texts


@pytest.mark.parametrize("parse", [parse_json, lambda text: parse_toml(f"a = {text}")])
def test_texts_that_no_reader_survives_are_value_errors(parse: Callable[[str], object]) -> None:
    for text in ("[" * 100_000, "1" * 5000, "["):
        with pytest.raises(ValueError):
            parse(text)
    with pytest.raises(ValueError, match="4300 digits"):
        parse_toml(f"a = 0x{'f' * 5000}")
