"""nprnn analyse."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.markup import escape
from rich.table import Table

from nprnn.cli.common import console, parse
from nprnn.errors import ConfigError, InputError, NprnnError, unknown
from nprnn.models import MODELS, find_model
from nprnn.reporting.dynamics import (
    LSTM,
    Effort,
    Inputs,
    Portrayed,
    Subject,
    about,
    numbers_table,
    portray,
    run_subject,
    start_subject,
    told_apart,
    write_analysis,
    write_analysis_record,
    write_analysis_tables,
)
from nprnn.reporting.members import LeftOut, clean, find_runs
from nprnn.reporting.sheet import plain
from nprnn.training import environment

# More rows than these make pictures that nobody compares.
MOST = 12


@dataclasses.dataclass(frozen=True)
class _Arguments:
    what: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(
            help="Run folders, folders of a few of them, and starts by their names (np-RNN, IRNN, ...); a folder that "
            "is called as a start is: ./np-RNN."
        ),
    ]
    hidden: Annotated[int, tyro.conf.arg(help="Of a start: H, hidden units.")] = 100
    task: Annotated[str, tyro.conf.arg(help="Of a start: the task whose sequences drive it.")] = "addition"
    length: Annotated[
        int | None, tyro.conf.arg(help="Of a start: T, steps of a sequence; None is 150, or what the data have.")
    ] = None
    draws: Annotated[int, tyro.conf.arg(help="Of a start: how many, each with a sequence of its own.")] = 30
    inputs: Annotated[
        Inputs,
        tyro.conf.arg(
            help="data: sequences of the run's validation set (training set if it has none), or of the start's task. "
            "noise: Gaussian, with their mean and spread. zero: nothing, after a random state."
        ),
    ] = "data"
    sequences: Annotated[int, tyro.conf.arg(help="Of a run: how many sequences drive it.")] = 8
    data_dir: Annotated[
        Path | None,
        tyro.conf.arg(
            aliases=["--data", "--store"],
            help="Where the data are: a start's, or a run's if no longer where they were.",
        ),
    ] = None
    exponents: Annotated[int, tyro.conf.arg(help="How many Lyapunov exponents, from the largest on.")] = 10
    period: Annotated[
        int, tyro.conf.arg(help="The longest cycles that are sought under zero input; 1: fixed points; 0: nothing.")
    ] = 2
    seed: Annotated[int, tyro.conf.arg(help="Of starts, gradients and whatever else is drawn here.")] = 0
    out: Annotated[Path, tyro.conf.arg(help="The page to write.")] = Path("analysis.html")
    markdown: Annotated[
        Path | None, tyro.conf.arg(help="Folder for the page as README.md, its pictures and tables.")
    ] = None
    json: Annotated[Path | None, tyro.conf.arg(help="File for every number as JSON.")] = None
    csv: Annotated[Path | None, tyro.conf.arg(help="Folder for the numbers behind the pictures as CSV.")] = None
    brief: Annotated[
        bool,
        tyro.conf.arg(help="Keep the tables alone: no pictures, and in JSON and CSV nothing for each sample and step."),
    ] = False


def command_analyse(words: list[str]) -> int:
    """Tell why a start trains or fails, or what training made of a run: spectra, gradients, exponents, fixed points."""
    options = parse(_Arguments, words, "nprnn analyse", command_analyse.__doc__)
    _check(options)
    effort = Effort(exponents=options.exponents, period=options.period)
    found: list[Portrayed] = []
    left_out: list[LeftOut] = []
    asked = _asked(options.what)
    for what in asked:
        try:
            subject = _subject(what, options)
            found.append(Portrayed(subject, tuple(portray(subject, stage, effort) for stage in subject.stages)))
        except NprnnError as error:
            # A damaged run among others does not cost their numbers.
            if len(asked) == 1:
                raise
            left_out.append(LeftOut(clean(what), plain(str(error))))
            _say(f"LEFT OUT: {what}: {error}")
            continue
        _tell(found[-1])
    if not found:
        raise ConfigError("none of these can be analysed; what is wrong with each stands above")
    command, env = ["nprnn", "analyse", *words], environment()
    found = told_apart(found)
    written = write_analysis(found, left_out, options.out, command, env, markdown=options.markdown, brief=options.brief)
    if options.csv is not None:
        written += write_analysis_tables(found, options.csv, brief=options.brief)
    if options.json is not None:
        written.append(write_analysis_record(found, left_out, options.json, command, env, brief=options.brief))
    _say(f"page to open: {written[0]}")
    for path in written[1:]:
        _say(f"written: {path}")
    return 1 if left_out else 0


def _check(options: _Arguments) -> None:
    if not options.what:
        raise ConfigError(f"name at least one run folder or start; the starts are {', '.join(MODELS)}")
    for name, least in (("exponents", 1), ("period", 0)):
        if getattr(options, name) < least:
            raise ConfigError(f"{name} must be at least {least}, got {getattr(options, name)}")


def _asked(what: tuple[str, ...]) -> list[str | Path]:
    """Starts by their names, and run folders, those inside of folders too."""
    asked: list[str | Path] = []
    for word in what:
        if word in MODELS or (not Path(word).exists() and _is_start(word)):
            asked.append(find_model(word))
        elif Path(word).exists():
            asked += find_runs([Path(word)])
        else:
            raise unknown("start, and no folder either,", word, MODELS)
    asked = list(dict.fromkeys(asked))
    if len(asked) > MOST:
        raise ConfigError(f"these are {len(asked)} starts and runs; at most {MOST} are shown beside each other")
    return asked


def _is_start(word: str) -> bool:
    return any(known.lower() == word.lower() for known in MODELS)


def _subject(what: str | Path, options: _Arguments) -> Subject:
    if isinstance(what, Path):
        return run_subject(
            what, sequences=options.sequences, inputs=options.inputs, data_dir=options.data_dir, seed=options.seed
        )
    if what == "LSTM":
        raise InputError(LSTM)
    return start_subject(
        what,
        hidden=options.hidden,
        draws=options.draws,
        task=options.task,
        length=options.length,
        inputs=options.inputs,
        data_dir=options.data_dir,
        seed=options.seed,
    )


def _tell(entry: Portrayed) -> None:
    """A subject's numbers in the terminal."""
    for told in entry.subject.notices:
        _say(told)
    found = numbers_table(entry)
    table = Table(title=escape(about(entry)), title_justify="left")
    for k, name in enumerate(found.columns):
        table.add_column(escape(name), justify="right" if k else "left")
    for row in found.rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
