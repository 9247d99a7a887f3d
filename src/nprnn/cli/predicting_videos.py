"""nprnn predict for a run on videos: their features made as its store's were, the answers told and written down."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.markup import escape
from rich.table import Table

from nprnn.cli.common import console
from nprnn.cli.prediction_folder import PredictionFolder
from nprnn.configs import from_record
from nprnn.errors import ConfigError, DataError, RunError
from nprnn.feature_store import recall_origin
from nprnn.reporting import ClipScores, scores_over_time
from nprnn.reporting.extracting import ExtractionView
from nprnn.sweep import cores
from nprnn.tasks import Ucf101
from nprnn.tasks.ucf101_feeding import Feeding, Recipe
from nprnn.training import Interrupt, Trained, environment, load_data
from nprnn.video import Crew, Done, Making, NewVideo, new_videos, provenance

_BATCH = 16
# Of more videos than these the terminal shows the answers alone; the files have all.
_MANY = 20


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """What goes with videos alone."""

    top: Annotated[int | None, tyro.conf.arg(help="Classes to tell and to draw; None is 5.")] = None
    store: Annotated[
        Path | None,
        tyro.conf.arg(help="The run's feature store, if it is needed and no longer where it was."),
    ] = None
    backbone: Annotated[
        str | None,
        tyro.conf.arg(help="The backbone of the store, if it is not where it was; module:function if it is code."),
    ] = None
    workers: Annotated[int | None, tyro.conf.arg(help="Processes of one thread each; None is one for each core.")] = (
        None
    )
    pictures: Annotated[bool, tyro.conf.arg(help="Draw the scores over time.")] = True

    def given(self) -> list[str]:
        """The options that were given, in words."""
        named = {"--top": self.top, "--store": self.store, "--backbone": self.backbone, "--workers": self.workers}
        return [word for word, value in named.items() if value is not None] + ["--no-pictures"] * (not self.pictures)


def predict_videos(
    trained: Trained, files: Sequence[Path], checkpoint: str, out: Path | None, options: VideoOptions
) -> int:
    """Answer for videos, tell it, and write it down.

    Args:
        trained: a run of task ``ucf101``.
        files: videos, and folders of them.
        checkpoint: which one the weights are of, last or best.
        out: folder to write to; None is ``predictions`` in the run folder.
        options: the rest.

    Returns:
        The exit status: 0, or 1 where some of the videos could not be read; 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        NprnnError: the run cannot be used on videos, or what it needs is not there; none of the videos could be read;
            or the folder cannot be written.
    """
    top = 5 if options.top is None else options.top
    workers = cores() if options.workers is None else options.workers
    for name, value in (("top", top), ("workers", workers)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    videos, unfit = new_videos(files)
    task = from_record(Ucf101, trained.run.config.get("task_config", {}))
    recipe = _recipe(trained, task, options.store)
    try:
        making = Making.of(recipe.provenance)
    except DataError as error:
        raise DataError(f"{error}; this is what {trained.run.folder / 'env.json'} and the run's store tell") from error
    feeding = Feeding.of(recipe, task.scaling, task.pca)
    order = making.order(options.backbone, _places(trained, recipe, making), _batch(recipe))
    now = provenance(order)["versions"]
    frames, stride = making.picking.frames, making.picking.stride
    picked = f"{frames} frames a video" if frames else f"one frame of {stride}" if stride != 1 else "all frames"
    _say(f"features by {making.backbone} of {picked}, as in the run's store")
    if others := making.other_versions(now):
        _say(f"that was made with {'; '.join(others)}: features may differ from its own in their last bits")
    about = {
        "format": 1,
        "kind": "video prediction",
        "run": trained.run.folder.name,
        "model": trained.config.model,
        "checkpoint": checkpoint,
        "update": trained.update,
        "features": {**recipe.provenance, "versions_now": now},
        "env": environment(),
    }
    folder = trained.run.folder / "predictions" if out is None else out
    suffix = "" if checkpoint == "last" else f"-{checkpoint}"
    with Interrupt() as interrupt, ExtractionView(console, len(videos), 0) as view:
        for name, reason in unfit:
            view.on_unfit(name, reason)
        desk = _Answers(trained, feeding, videos, PredictionFolder(folder, suffix, about, top, options.pictures), view)
        through = Crew(order, workers, desk).run([video.path for video in videos], interrupt)
    return _conclude(desk, through, interrupt, view.left_out)


def _recipe(trained: Trained, task: Ucf101, store: Path | None) -> Recipe:
    """What the run remembers of its store; the store itself is asked where that is not enough, or it is named."""
    run = trained.run
    if task.shuffle_frames:
        raise ConfigError(
            f"{run.folder} was trained on clips whose frames were shuffled, which shows what is learnt without their "
            "order; scores over a video's time would mean nothing. Use a run without --shuffle-frames"
        )
    if store is None:
        found = Recipe.read(run.env().get("recipe"))
        if found is not None and found.is_at_hand:
            return found
    try:
        found = Recipe.read(dict(load_data(run, store=store).recipe or {}))
    except (DataError, ConfigError) as error:
        if store is not None:
            raise
        raise DataError(f"{error}; say with --store where the run's feature store is") from error
    assert found is not None
    return found


def _places(trained: Trained, recipe: Recipe, making: Making) -> list[Path]:
    """Where the backbone may be: where the run knows it, where its store knows it, in the run folder."""
    locations = trained.run.env().get("locations")
    store = locations.get("store") if isinstance(locations, dict) else None
    known = [recipe.origin.get("backbone")]
    if isinstance(store, str):
        known.append(recall_origin(Path(store)).get("backbone"))
    places = [Path(place) for place in known if isinstance(place, str)]
    return [*dict.fromkeys(places), trained.run.folder / Path(making.backbone).name]


def _batch(recipe: Recipe) -> int:
    """Frames at a time, as in the store's making: some networks take no other number."""
    batch = recipe.origin.get("batch")
    return batch if type(batch) is int and batch > 0 else _BATCH


class _Answers:
    """Where features become answers.

    Attributes:
        shelf: where answers are put.
        answers: of each video that gave any, by its number.
        files: what was written of the last video, by what it is.
        unwritten: what kept the first answer from being written, if any was.
    """

    def __init__(
        self,
        trained: Trained,
        feeding: Feeding,
        videos: Sequence[NewVideo],
        shelf: PredictionFolder,
        view: ExtractionView,
    ) -> None:
        self.shelf = shelf
        self.answers: dict[int, list[tuple[str, float]]] = {}
        self.files: dict[str, Path] = {}
        self.unwritten: RunError | None = None
        self._trained = trained
        self._feeding = feeding
        self._videos = videos
        self._view = view

    @property
    def told(self) -> list[tuple[str, list[tuple[str, float]]]]:
        """(video, its likeliest classes with their probabilities), in the order of the videos."""
        return [(self._videos[k].name, self.answers[k]) for k in sorted(self.answers)]

    def take(self, done: Done) -> None:
        """Answer for a video and write it down."""
        video, trained = self._videos[done.clip], self._trained
        try:
            outputs, over_time = scores_over_time(trained.model, self._feeding(done.features), trained.at)
        except DataError as error:
            self.leave_out(done.clip, str(error))
            return
        if not over_time.isfinite().all():
            self.leave_out(done.clip, "the network's outputs for it are no finite numbers")
            return
        seconds = [moment.seconds for moment in done.moments]
        scores = ClipScores(
            video.name,
            trained.class_names or (),
            tuple(moment.frame for moment in done.moments),
            tuple(second for second in seconds if second is not None) if None not in seconds else None,
            outputs,
            over_time,
            trained.at,
        )
        self.answers[done.clip] = [(scores.class_names[k], p) for k, p in scores.top(self.shelf.top)]
        try:
            self.files = self.shelf.put(video, scores, done.remark)
        except RunError as error:
            # What the disk does not take can still be told.
            self.unwritten = self.unwritten or error
        self._view.on_done(video.name, done.remark)

    def leave_out(self, clip: int, reason: str) -> None:
        """Tell of a video that gives nothing."""
        self._view.on_left_out(self._videos[clip].name, reason)

    def draw(self) -> None:
        """Draw how far it is."""
        self._view.draw()


def _conclude(desk: _Answers, through: bool, interrupt: Interrupt, left_out: int) -> int:
    """Tell the answers and where they are; the exit status."""
    told = desk.told
    if told:
        console.print(_table(told if len(told) <= _MANY else [(name, best[:1]) for name, best in told]))
    if desk.unwritten is not None:
        raise desk.unwritten
    if len(told) == 1:
        _say("\n".join(f"{what}: {path}" for what, path in desk.files.items()))
    elif told:
        table = desk.shelf.put_table(told)
        _say(f"written to {desk.shelf.folder}, for each video; {table} has all answers")
    if not through:
        _say(f"stopped after {len(told)} videos; what was answered is kept")
        return 143 if interrupt.signal == signal.SIGTERM else 130
    if not told:
        raise DataError("none of the videos could be read; the lines above say why of each")
    if left_out:
        _say(f"{left_out} could not be read and {'has' if left_out == 1 else 'have'} no answer")
    return 1 if left_out else 0


def _table(told: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> Table:
    """The likeliest classes of each video, for a terminal."""
    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("action", overflow="fold")
    table.add_column("probability", justify="right")
    for name, best in told:
        for rank, (action, probability) in enumerate(best):
            last = rank == len(best) - 1
            table.add_row(escape(name) if rank == 0 else "", escape(action), f"{probability:.4f}", end_section=last)
    return table


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
