"""The training loop, for E members at once: draw, run, differentiate, clip, step; evaluate and checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from nprnn.devices import computing_on, find_device, move
from nprnn.errors import ConfigError, NonFiniteError, RunError
from nprnn.models import SequenceModel
from nprnn.runs import Run
from nprnn.tasks.base import Batch, TaskData
from nprnn.training.config import TrainConfig
from nprnn.training.draws import ALL, Draws, Place, dropout_factors, shared
from nprnn.training.machine import environment, note_environment
from nprnn.training.members import Member, Outcome, check_together, data_on, start_model
from nprnn.training.optimizers import StackedClip, StackedOptimizer
from nprnn.training.partners import ALONE, Lost, Partners, Word
from nprnn.training.readout import StackedLosses
from nprnn.training.seats import Seat, no_way_on
from nprnn.training.stacked import StackedModels, kind

# Losses stay tensors for so many seconds before anyone looks: reading a number costs as much as computing with it.
_LOOK_EVERY = 0.1
_MOST_UNSEEN = 512


class Listener(Protocol):
    """Told what happens, as it happens: a progress bar, for one. ``member`` counts the members that were given."""

    def on_updates(self, member: int, update: int, losses: Sequence[float]) -> None:
        """Some times a second: ``update`` are done, and these are the losses since the last call.

        The last updates of one that diverges are not told.
        """

    def on_record(self, member: int, record: dict[str, Any]) -> None:
        """After an evaluation, with the line that went to ``metrics.jsonl``."""

    def on_end(self, member: int, outcome: Outcome) -> None:
        """Of a member: no more is heard of it."""


def train(
    config: TrainConfig,
    data: TaskData,
    run: Run,
    *,
    stop_after: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    listener: Listener | None = None,
    device: str | torch.device = "cpu",
    partners: Partners = ALONE,
) -> SequenceModel:
    """Train from the run's last checkpoint, or from the start, to the end of the schedule.

    Backpropagation through time over all steps of each sequence, or truncated. The result is the last iterate; the
    iterate that did best on the validation set is kept beside it. Nothing is chosen by the test set.

    Args:
        config: the settings.
        data: the task, as loaded for ``config.seed``.
        run: where records and checkpoints go.
        stop_after: stop once so many updates of the schedule are done (a later call goes on from there).
        stop: asked after every update; true ends the training with a checkpoint of that very update.
        listener: told of updates and evaluations.
        device: where to compute: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``. It is no setting: the start, the data and their
            order are the same, and a run may go on elsewhere.
        partners: the processes that train this network together, as ``joined`` gives them, each of which calls this
            with a run under ``partners.folder``. ``config.batch`` is what they have together, ``stop`` of any stops
            all, and numbers differ from those of one process by rounding.

    Returns:
        The trained model, on the device.

    Raises:
        ConfigError: settings that do not go with the data, a ``stop_after`` below 1, no such device, or partners that
            differ in what they train.
        NonFiniteError: the loss or the gradient became NaN or infinite; the last checkpoint is from before.
        RunError: the run folder is damaged, in use, or cannot be written; or a partner has ended.

    Source: sections 3 and 4.
    """
    with partners.in_step():
        entered = _Training([Member(config, data, run)], stop_after, listener, device, partners)
    with entered as training:
        models = [seat.model for seat in training.seats]
        (outcome,) = training.finish(stop)
    if outcome.state == "diverged":
        raise NonFiniteError(outcome.message)
    if outcome.state == "failed":
        raise RunError(outcome.message)
    return models[0]


def train_ensemble(
    members: Sequence[Member],
    *,
    stop_after: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    listener: Listener | None = None,
    device: str | torch.device = "cpu",
) -> list[Outcome]:
    """Train E members at once, each as ``train`` would alone: its own start, data order, optimiser, schedule and clip.

    Members may stand at different updates. One that ends, diverges or fails leaves, and the others go on untouched;
    their numbers differ from those of a lone run by rounding alone.

    Args:
        members: of one task with one setting, whose ``ensemble_key`` are equal.
        stop_after: stop each once so many updates of its schedule are done.
        stop: asked after every update; true ends the training with a checkpoint of that very update. On a CUDA device
            it is asked once the update is under way there, done or not.
        listener: told of updates and evaluations.
        device: where to compute, as for ``train``.

    Returns:
        How each ended, in the order given.

    Raises:
        ConfigError: members that do not go together, settings that do not fit the data, a ``stop_after`` below 1, or no
            such device.

    Source: sections 3 and 4.
    """
    with _Training(members, stop_after, listener, device) as training:
        return training.finish(stop)


class _Training:
    """Members in training, while entered; ``seats`` are those that still train, in the order of their rows."""

    def __init__(
        self,
        members: Sequence[Member],
        stop_after: int | None,
        listener: Listener | None,
        device: str | torch.device,
        partners: Partners = ALONE,
    ) -> None:
        check_together(members)
        if stop_after is not None and stop_after < 1:
            raise ConfigError(f"stop_after must be at least 1, got {stop_after}")
        self.members = members
        self.seats: list[Seat] = []
        self._partners, self._share = partners, partners.share(members[0].config.batch)
        self._device = find_device(device)
        self._elsewhere = self._device.type != "cpu"
        self._stop_after = stop_after
        self._listener = listener
        self._outcomes: dict[int, Outcome] = {}
        self._ended: dict[int, Outcome] = {}
        self._seconds = 0.0
        self._stopping = False

    def __enter__(self) -> _Training:
        with ExitStack() as surroundings:
            surroundings.enter_context(computing_on(self._device))
            self._begin(surroundings)
            self._surroundings = surroundings.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._surroundings.close()

    def _begin(self, locks: ExitStack) -> None:
        kept: dict[int, dict[str, Tensor] | None] = {}
        env = environment(self._device, self._partners.world)
        self._agree(env)
        for number, (member, data) in enumerate(zip(self.members, data_on(self.members, self._device), strict=True)):
            config = member.config
            last = config.updates if self._stop_after is None else min(config.updates, self._stop_after)
            seat = Seat(number, member._replace(data=data), start_model(config, data).to(self._device), last)
            with self._own(seat):
                locks.enter_context(self._partners.hold(member.run))
                kept[number] = seat.restore()
                if seat.done < last:
                    note_environment(member.run, env, seat.done)
                self.seats.append(seat)
        self._partners.settle([outcome.message for outcome in self._ended.values()])
        # Those that run in one call stand together.
        self.seats.sort(key=lambda seat: kind(seat.model))
        self._leave()
        if not self.seats:
            return
        self._models = StackedModels([seat.model for seat in self.seats])
        settings = [seat.member.config for seat in self.seats]
        self._optimizer = StackedOptimizer(settings, self._models.parameters, self._models.recurrent)
        for row, seat in enumerate(self.seats):
            found = kept[seat.number]
            if found is not None:
                with self._own(seat):
                    try:
                        self._optimizer.restore(row, found)
                    except ValueError as error:
                        raise no_way_on(seat.member.run, error) from error
        self._seat()

    def _agree(self, env: dict[str, Any]) -> None:
        for member in self.members:
            facts = {name: env[name] for name in ("nprnn", "torch")} | {"device": self._device.type}
            facts |= {name: value for name, value in member.run.config.items() if name != "data"}
            facts |= {"the fingerprint of the data": member.data.fingerprint, "stop_after": self._stop_after}
            self._partners.agree(facts)

    def finish(self, stop: Callable[[], bool]) -> list[Outcome]:
        """Train until every member has ended or ``stop`` says so."""
        while self.seats:
            self._evaluate(stop)
            for row, seat in enumerate(self.seats):
                if seat.number not in self._ended and (self._stopping or seat.done >= seat.last):
                    with self._own(seat):
                        seat.checkpoint(self._optimizer.member(row))
                        through = seat.done >= seat.last and not seat.evaluation_due
                        self._ended[seat.number] = Outcome("finished" if through else "stopped", seat.done)
            self._leave()
            if self.seats:
                self._stretch(min(seat.until_event() for seat in self.seats), stop)
                self._leave()
        return [self._outcomes[number] for number in range(len(self.members))]

    def _stretch(self, updates: int, stop: Callable[[], bool]) -> None:
        """So many updates with nothing due in between; fewer if ``stop`` says so or a member diverges."""
        lr = self._models.parameters.new_tensor([[s.member.config.lr_at(s.done)] for s in self.seats])
        unseen: list[tuple[Tensor, Tensor]] = []
        began = looked = time.perf_counter()

        def wish() -> Word:
            return Word(stop(), time.perf_counter() - looked > _LOOK_EVERY)

        for number, batch in enumerate(self._draws.take(updates), start=1):
            dropout = self._dropout(batch, len(unseen))
            if self._cut != ALL:
                batch = shared(batch, self._cut, self._steps_have_targets)
            if self._elsewhere:
                batch = batch.to(self._device)
            outputs = self._models(batch.x, batch.lengths, at=self._at, truncate=self._truncate, dropout=dropout)
            loss = self._partners.weigh(self._losses(outputs, batch), self._losses, batch)
            gradients = self._models.differentiate(loss)
            try:
                loss, ask = self._partners.join(gradients, loss.detach(), wish)
            except Lost as error:
                self._lose(unseen, error)
                break
            norms, factors = self._clip(gradients)
            self._optimizer.step(gradients, lr, factors)
            unseen.append((loss, norms))

            word = ask()
            self._stopping = word.stop
            over = self._stopping or number == updates
            if over or word.look or len(unseen) >= _MOST_UNSEEN:
                self._look(unseen)
                unseen, looked = [], time.perf_counter()
            if over or self._ended:
                break
        self._seconds += time.perf_counter() - began

    def _look(self, unseen: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Read the losses and norms of the last updates."""
        columns = [torch.stack(values, 1).tolist() for values in zip(*unseen, strict=True)]
        for seat, seat_losses, norms in zip(self.seats, *columns, strict=True):
            with self._own(seat):
                seat.note(seat_losses, norms)
                if self._listener:
                    self._listener.on_updates(seat.number, seat.done, seat_losses)

    def _lose(self, unseen: Sequence[tuple[Tensor, Tensor]], error: Lost) -> None:
        """Keep what was reached before the partners were lost."""
        if self._elsewhere:
            # What they take part in on a device may never end.
            raise error
        if unseen:
            self._look(unseen)
        for row, seat in enumerate(self.seats):
            if seat.number not in self._ended:
                with self._own(seat):
                    seat.checkpoint(self._optimizer.member(row))
                    raise RunError(f"{error}; the checkpoint of update {seat.done} is kept")

    def _evaluate(self, stop: Callable[[], bool]) -> None:
        """Evaluate whoever is due, one after the other; asked to stop, the others stay due."""
        present = [(row, seat) for row, seat in enumerate(self.seats) if seat.number not in self._ended]
        due = [(row, seat) for row, seat in present if seat.evaluation_due]
        for place, (row, seat) in enumerate(due):
            self._stopping = self._stopping or (place > 0 and stop())
            if self._stopping and place > 0:
                break
            with self._own(seat):
                record = seat.evaluate(self._seconds, self._optimizer.member(row))
                if self._listener:
                    self._listener.on_record(seat.number, record)

    @contextmanager
    def _own(self, seat: Seat) -> Iterator[None]:
        """What goes wrong in here ends this member alone."""
        try:
            yield
        except NonFiniteError as error:
            self._ended[seat.number] = Outcome("diverged", seat.member.run.saved, str(error))
        except RunError as error:
            self._ended[seat.number] = Outcome("failed", seat.member.run.saved, str(error))

    def _leave(self) -> None:
        """Send home whoever has ended."""
        if not self._ended:
            return
        ended, self._ended = self._ended, {}
        self._outcomes |= ended
        rows = [row for row, seat in enumerate(self.seats) if seat.number not in ended]
        if 0 < len(rows) < len(self.seats):
            self._models.keep(torch.tensor(rows))
            self._optimizer.keep(torch.tensor(rows), self._models.parameters)
        changed = len(rows) < len(self.seats)
        self.seats = [self.seats[row] for row in rows]
        if self.seats and changed:
            self._seat()
        for number, outcome in ended.items():
            if self._listener:
                self._listener.on_end(number, outcome)

    def _seat(self) -> None:
        """What depends on who is there."""
        configs = [seat.member.config for seat in self.seats]
        data = self.seats[0].member.data
        self._at, self._truncate = self.seats[0].at, configs[0].truncate
        self._clip = StackedClip(configs, self._models.parameters)
        self._steps_have_targets = data.steps_have_targets
        places = [Place(seat.member.config, seat.member.data.train, seat.done) for seat in self.seats]
        # Dropout of each step is drawn for as many steps as the longest sequence of the joint batch has.
        whole = self._at == "each" and any(config.dropout for config in configs)
        drawn, self._cut = (ALL, self._share) if whole else (self._share, ALL)
        self._draws = Draws(places, data.steps_have_targets, self._device, drawn)
        objectives = [seat.member.data.objective for seat in self.seats]
        self._losses = StackedLosses(objectives, self._at, data.steps_have_targets, self._device)

    def _dropout(self, batch: Batch, ahead: int) -> Tensor | None:
        if not any(seat.member.config.dropout for seat in self.seats):
            return None
        done = [(seat.member.config, seat.done + ahead) for seat in self.seats]
        factors = dropout_factors(done, batch, for_each_step=self._at == "each")
        return move(factors[..., self._share, :], self._device)
