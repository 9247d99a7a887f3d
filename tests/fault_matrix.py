"""Command, harm, file: every cell of the matrix, its cases, and the judgement of each.

Which files a command reads and writes is not listed by hand: an unharmed command is watched, from nothing and from a
folder that was left half-done. A case harms one file once, and judges what the command says and what the same command
makes of it afterwards.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fault_scenes import Answers, Scene, updates_of
from faulty import HARM, TRACEBACK, Fault, Nursery, Outcome, Touch

CASES = 3
# Ten years on, an hour back, and to 2001: certificates, time stamps and orders of events must not depend on it.
SHIFTS = (315_360_000, -3600, -800_000_000)
DAMAGE = ("truncated", "flipped")
TOGETHER = "two processes"
PAUSES = (0.0, 0.05, 0.3)
# What a command may end with where it was harmed so.
STATUSES: dict[str, tuple[int, ...]] = {
    "kill": (-9, 0),
    "term": (143, 0),
    "int": (130, 0),
    "full": (2, 1, 0),
    "readonly": (2, 1, 0),
    "clock": (0,),
}
NEVER = "the harm was never done"
REASONS = {"full": "No space left on device", "readonly": "Read-only file system"}


@dataclass(frozen=True)
class Case:
    """A harm to a file, from nothing or in a half-done folder.

    ``spot`` is the touch, the pause or the byte, ``turn`` the number of the case in its cell.
    """

    harm: str
    file: str
    name: str
    spot: int
    half: bool
    turn: int = 0

    def __str__(self) -> str:
        return f"{self.harm}, {self.name or 'all'}, {self.spot}{', half-done' if self.half else ''}"


@dataclass(frozen=True)
class Verdict:
    """What became of a case: ``outcome`` in a word or two, and ``trouble`` where it is not as it should be, else ""."""

    case: Case
    outcome: str
    trouble: str = ""


class Stage:
    """A scene's inputs, watched: folders to copy, the files, and the right answers. Cases have folders in ``place``."""

    def __init__(self, scene: Scene, nursery: Nursery, place: Path) -> None:
        self.scene, self.nursery, self._place = scene, nursery, place
        self._count = 0
        self._fresh, self._half = place / "fresh", place / "half"
        self._fresh.mkdir(parents=True)
        scene.prepare(self._fresh, nursery)
        named = self._fresh / "words"
        run = named.read_text() if named.exists() else ""
        self.words = scene.words.replace("RUN", run).split()
        self.touches: dict[bool, list[Touch]] = {}
        with self._copy(half=False) as folder:
            whole = self._run(folder)
            if whole.status != 0:
                raise RuntimeError(f"{scene.name} ended with {whole.status} unharmed: {whole.told}")
            self.touches[False] = list(whole.touches)
            self.right = scene.answers(folder)
        if scene.pivot:
            self._leave_half()
            with self._copy(half=True) as folder:
                rest = self._run(folder)
                self.touches[True] = list(rest.touches)
                if rest.status != 0 or not scene.same(scene.answers(folder), self.right):
                    raise RuntimeError(f"{scene.name} does not go on unharmed: {rest.told}")

    def _leave_half(self) -> None:
        """Kill the command where half of its pivots are written."""
        pivots = [touch.name for touch in self.touches[False] if touch.name.endswith(self.scene.pivot)]
        name = pivots[len(pivots) // 2]
        of_it = [touch for touch in self.touches[False] if touch.name == name]
        shutil.copytree(self._fresh, self._half)
        self._run(self._half, Fault("kill", name, len(of_it) // 2 + 2))

    def cases(self) -> Iterator[Case]:
        """All of the matrix, at most ``CASES`` for a cell of a harm and a kind of file."""
        written: dict[str, list[tuple[bool, str, int]]] = {}
        read: dict[str, list[str]] = {}
        for half, touches in self.touches.items():
            seen: dict[tuple[int, str], int] = {}
            for touch in touches:
                key = (touch.process, touch.name)
                seen[key] = seen.get(key, 0) + 1
                if touch.verb == "read":
                    names = read.setdefault(kind_of(touch.name), [])
                    if touch.name not in names and self._there(touch.name):
                        names.append(touch.name)
                else:
                    written.setdefault(kind_of(touch.name), []).append((half, touch.name, seen[key]))
        for file, spots in sorted(written.items()):
            if self._skip(file):
                continue
            for harm in HARM:
                for turn, (half, name, nth) in enumerate(spread(list(dict.fromkeys(spots)), CASES)):
                    yield Case(harm, file, name, nth, half, turn)
        for file, names in sorted(read.items()):
            if self._skip(file):
                continue
            for harm in DAMAGE:
                for spot in range(CASES if names else 0):
                    name = names[spot % len(names)]
                    yield Case(harm, file, name, spot, self._in_half(name))
        for spot in range(CASES):
            yield Case(TOGETHER, "all", "", spot, False)

    def empty(self) -> dict[str, str]:
        """Kinds of files that are not harmed, or not damaged, and why."""
        touched = [touch for touches in self.touches.values() for touch in touches]
        read = {kind_of(touch.name) for touch in touched if touch.verb == "read"}
        made = {case.file for case in self.cases() if case.harm in DAMAGE}
        found = dict.fromkeys(sorted(read - made), "made by the command before it is read")
        return found | {
            name: "elsewhere" for name in sorted(map(kind_of, {t.name for t in touched})) if self._skip(name)
        }

    def _skip(self, file: str) -> bool:
        return bool(self.scene.elsewhere) and file.startswith(self.scene.elsewhere)

    def _there(self, name: str) -> bool:
        return any(size_of(folder / name) for folder in (self._fresh, self._half))

    def _in_half(self, name: str) -> bool:
        return size_of(self._half / name) > 0

    def judge(self, case: Case) -> Verdict:
        """Carry out a case; where its touch does not come this time, that of half its number.

        What is written as time passes, such as the board of a sweep, is not touched equally often every time.
        """
        verdict = self._tried(case)
        while verdict.trouble.startswith(NEVER) and case.spot > 1:
            case = replace(case, spot=case.spot // 2)
            verdict = self._tried(case)
        return verdict

    def _tried(self, case: Case) -> Verdict:
        with self._copy(half=case.half) as folder:
            if case.harm in DAMAGE:
                return self._damaged(case, folder)
            if case.harm == TOGETHER:
                return self._together(case, folder)
            return self._harmed(case, folder)

    def _harmed(self, case: Case, folder: Path) -> Verdict:
        shift = SHIFTS[case.turn % len(SHIFTS)]
        first = self._run(folder, Fault(case.harm, case.name, case.spot, shift))
        trouble = self._ended_badly(first, STATUSES[case.harm])
        if not trouble and not first.happened:
            trouble = NEVER
        reason = REASONS.get(case.harm)
        if not trouble and first.status != 0 and reason and reason not in first.told:
            trouble = f"it is not told that there is {reason!r}"
        if not trouble:
            trouble = self._lost(first, folder)
        if trouble:
            return Verdict(case, "", f"{trouble}\n{first.told[-2000:]}")
        if case.harm == "clock":
            return Verdict(case, "finished right", self._wrong(folder))
        again = self._run(folder)
        trouble = self._ended_badly(again, (0,)) or self._wrong(folder)
        if trouble:
            return Verdict(case, "", f"afterwards: {trouble}\n{first.told[-1000:]}\n--\n{again.told[-2000:]}")
        return Verdict(case, "finished all the same" if first.status == 0 else "told" if reason else "gone on with")

    def _damaged(self, case: Case, folder: Path) -> Verdict:
        path = folder / case.name
        content = bytearray(path.read_bytes())
        if case.harm == "truncated":
            content = content[: (0, len(content) // 2, len(content) - 1)[case.spot]]
        else:
            content[(0, len(content) // 2, len(content) - 1)[case.spot]] ^= (0x10, 0x01, 0x40)[case.spot]
        path.write_bytes(content)
        outcome = self._run(folder)
        trouble = self._ended_badly(outcome, (0, 1, 2))
        if trouble:
            return Verdict(case, "", f"{trouble}\n{outcome.told[-2000:]}")
        if outcome.status != 0:
            names = (path.name, path.stem, path.parent.name, case.name)
            told = any(name in re.sub(r"\s+", "", outcome.told) for name in names)
            return Verdict(case, "told", "" if told else f"the file is not named\n{outcome.told[-2000:]}")
        wrong = self._wrong(folder)
        if not wrong:
            return Verdict(case, "finished right")
        # What cannot be made again may be missing in the end, if that is said.
        if re.search(rf"{re.escape(case.name)} (has lost|is damaged)", re.sub(r"\s*\n\s*", " ", outcome.told)):
            return Verdict(case, "told")
        if {case.name, case.file} & set(self.scene.unchecked):
            return Verdict(case, "taken as other data")
        return Verdict(case, "", f"unnoticed: {wrong}\n{outcome.told[-2000:]}")

    def _together(self, case: Case, folder: Path) -> Verdict:
        both = self.nursery.together([self.words, self.words], folder, apart=PAUSES[case.spot])
        for outcome in both:
            trouble = self._ended_badly(outcome, (0, 2, 1))
            if trouble:
                return Verdict(case, "", f"{trouble}\n{outcome.told[-2000:]}")
        if all(outcome.status for outcome in both):
            return Verdict(case, "", "neither finished\n" + "\n--\n".join(outcome.told[-1000:] for outcome in both))
        refused = any(outcome.status for outcome in both)
        return Verdict(case, "one refused" if refused else "both right", self._wrong(folder))

    def _ended_badly(self, outcome: Outcome, allowed: tuple[int, ...]) -> str:
        if outcome.status is None:
            return "it hung"
        if TRACEBACK in outcome.told:
            return "a traceback"
        return "" if outcome.status in allowed else f"it ended with {outcome.status}"

    def _wrong(self, folder: Path) -> str:
        try:
            found = self.scene.answers(folder)
        # Whatever a harmed folder makes of reading it is a finding, not the end of the matrix.
        except Exception as error:
            return f"its answers cannot be read: {error!r}"
        return "" if self.scene.same(found, self.right) else f"its answers are others: {difference(found, self.right)}"

    def _lost(self, outcome: Outcome, folder: Path) -> str:
        """What was put in place before the harm and is not there after it."""
        if not self.scene.every:
            return ""
        kept = updates_of(folder)
        counts: dict[str, int] = {}
        for touch in outcome.touches:
            if touch.verb == "rename" and touch.name.endswith(self.scene.pivot):
                holder = str(Path(touch.name).parent.relative_to(Path(touch.name).parts[0]))
                counts[holder] = counts.get(holder, 0) + 1
        for holder, count in counts.items():
            # The last one may have been told of and not done.
            if holder in kept and kept[holder] < (count - 1) * self.scene.every:
                return f"{holder} holds {kept[holder]} after {count} checkpoints"
        return ""

    def _run(self, folder: Path, fault: Fault | None = None) -> Outcome:
        return self.nursery.run(self.words, folder, fault)

    @contextlib.contextmanager
    def _copy(self, half: bool) -> Iterator[Path]:
        """A copy of a folder, for as long as the context lasts."""
        self._count += 1
        folder = self._place / str(self._count)
        shutil.copytree(self._half if half else self._fresh, folder, symlinks=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def spread(spots: list[tuple[bool, str, int]], count: int) -> list[tuple[bool, str, int]]:
    """So many of them, from first to last."""
    if len(spots) <= count:
        return spots
    return [spots[round(k * (len(spots) - 1) / (count - 1))] for k in range(count)]


def kind_of(name: str) -> str:
    """A file's name where runs, clips and tables have no names of their own."""
    name = re.sub(r"[\w.-]+-s\d+-[0-9a-f]{8}", "RUN", name)
    name = re.sub(r"^(out|videos)/(\w+/)?\d\.avi", r"\1/CLIP", name)
    name = re.sub(r"^new/\d+\.csv", "new/*.csv", re.sub(r"^data/\d+\.csv", "data/*.csv", name))
    return re.sub(r"v_\w+_g\d\d_c\d\d|clips/.*(?=\.safetensors)", "CLIP", re.sub(r"videos/\w+/", "videos/CLASS/", name))


def size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def difference(found: Answers, right: Answers) -> str:
    names = [name for name in sorted({*found, *right}) if found.get(name) != right.get(name)]
    return "; ".join(f"{name}: {str(found.get(name))[:300]} for {str(right.get(name))[:300]}" for name in names[:2])
