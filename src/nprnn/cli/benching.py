"""nprnn bench."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import tyro
from rich.box import SIMPLE
from rich.markup import escape
from rich.progress import TimeElapsedColumn
from rich.table import Table

from nprnn.bench import SHAPES, Shape, find_shape, limited, make_record, measure, write_record
from nprnn.bench.limits import machine_limits
from nprnn.bench.records import FOLDER
from nprnn.bench.summary import caption, losses, rival_rows, sizes, speed_line
from nprnn.bench.threads import most_threads
from nprnn.cli.benching_gpu import bench_gpu
from nprnn.cli.common import console, parse
from nprnn.devices import find_device
from nprnn.errors import ConfigError
from nprnn.reporting.console import live_bar

_QUICK_ROUNDS, _QUICK_SECONDS = 3, 10.0


def command_bench(words: list[str]) -> int:
    """Time the recurrence against its rivals, interleaved in one run, and against the machine's limits."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        shape: Annotated[
            tyro.conf.UseAppendAction[tuple[str, ...]],
            tyro.conf.arg(help=f"Shapes by label ({', '.join(SHAPES)}) or sizes (T,B,I,H or T,B,I,H,E); none is all."),
        ] = ()
        threads: Annotated[int | None, tyro.conf.arg(help="Threads of every rival; None is one for each core.")] = None
        rounds: Annotated[int, tyro.conf.arg(help="Samples of each rival; fewer where a shape takes minutes.")] = 20
        quick: Annotated[bool, tyro.conf.arg(help="Few rounds and no measuring of memory, for a first look.")] = False
        inference: Annotated[bool, tyro.conf.arg(help="Forward only; without --shape, what has targets there.")] = False
        device: Annotated[
            str, tyro.conf.arg(help="cuda measures the kernels of a GPU against cuDNN, over sizes of its own.")
        ] = "cpu"
        out: Annotated[Path | None, tyro.conf.arg(help=f"The record to write; None is a new file in {FOLDER}.")] = None

    options = parse(Arguments, words, "nprnn bench", command_bench.__doc__)
    if options.rounds < 1:
        raise ConfigError(f"rounds must be at least 1, got {options.rounds}")
    if find_device(options.device).type != "cpu":
        if options.shape or options.threads is not None or options.inference:
            raise ConfigError("--shape, --threads and --inference are for the CPU; leave them out with --device cuda")
        return bench_gpu(options.device, options.rounds, options.quick, options.out, words)
    shapes = _shapes(options.shape, options.inference)
    rounds = min(options.rounds, _QUICK_ROUNDS) if options.quick else options.rounds
    threads = most_threads() if options.threads is None else options.threads
    with limited(threads), _Progress(shapes, rounds) as progress:
        record = make_record(
            "bench",
            ["nprnn", "bench", *words],
            threads,
            complete=False,
            limits=machine_limits(rounds),
            shapes=[],
        )
        path = options.out or FOLDER / f"bench-{record['started'].replace(':', '')}.json"
        # What is measured is kept, whatever happens; and a place that cannot be written is found out now.
        write_record(path, record)
        shortened: dict[str, Any] = {"seconds": _QUICK_SECONDS, "memory": False} if options.quick else {}
        for shape in shapes:
            progress.begin(shape)
            result = measure(
                shape,
                threads=threads,
                rounds=rounds,
                bandwidth=record["limits"]["bandwidth"],
                tell=progress.tell,
                **shortened,
            )
            record["shapes"].append(result)
            write_record(path, record)
            progress.end(result)
    record["complete"] = not (options.shape or options.inference or options.quick)
    write_record(path, record)
    for shape in record["shapes"]:
        console.print(_table(shape))
    console.print(caption(record), markup=False, soft_wrap=True)
    for line in losses(record) or ["no target missed, no rival faster"]:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"record: {path}", markup=False, soft_wrap=True)
    return 0


def _shapes(words: tuple[str, ...], inference: bool) -> list[Shape]:
    if not words:
        return [shape for shape in SHAPES.values() if shape.inference or not inference]
    shapes = [find_shape(word) for word in words]
    return [shape.forward_only() if inference else shape for shape in shapes]


def _table(shape: dict[str, Any]) -> Table:
    title, about = f"[bold]{escape(shape['label'])}[/bold]: {sizes(shape)}", escape(speed_line(shape))
    table = Table(title=title, title_justify="left", caption=about, caption_justify="left", box=SIMPLE)
    for number, heading in enumerate(("", "ms", "quartiles", "times ours", "target", "MiB")):
        table.add_column(heading, overflow="fold", justify="left" if number == 0 else "right")
    for row in rival_rows(shape):
        table.add_row(*(f"[red]{escape(cell)}[/red]" if "missed" in cell else escape(cell) for cell in row))
    return table


class _Progress:
    """A live bar over the rounds of all shapes; on a plain stream, a line a shape."""

    def __init__(self, shapes: list[Shape], rounds: int) -> None:
        self._rounds = rounds
        self._progress = live_bar(console, TimeElapsedColumn())
        self._bar = self._progress.add_task("the machine alone", total=len(shapes) * rounds, state="")
        self._before = 0

    def __enter__(self) -> _Progress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, shape: Shape) -> None:
        """Say which shape comes next, while its rivals are built and checked."""
        self._progress.update(self._bar, description=shape.label, state="building, checking")

    def tell(self, number: int, name: str) -> None:
        """Move the bar to a round of the shape."""
        self._progress.update(self._bar, completed=self._before + number, state=escape(name))

    def end(self, result: dict[str, Any]) -> None:
        """Count a shape as done, and say what came out."""
        self._before += self._rounds
        self._progress.update(self._bar, completed=self._before, state="")
        if not console.is_terminal:
            found = ", ".join(f"{name} {time}" for name, time, *_ in rival_rows(result))
            console.print(f"{result['label']}, ms: {found}", markup=False, soft_wrap=True)
