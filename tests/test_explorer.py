"""The explorer: one file that asks for nothing; in a real browser, its numbers against nprnn.dynamics, and its controls
by keyboard and touch, wide and narrow."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import absent
from nprnn.cli import main
from nprnn.dynamics import Orbit, System, find_cycles, find_fixed_points, gradient_curve, run
from nprnn.errors import ConfigError, RunError
from nprnn.reporting.explorer import explorer_address, explorer_settings, settings, write_explorer
from nprnn.reporting.explorer.explorer import SCRIPTS

F64 = torch.float64
READINGS = ("paper", "network")
EMPTY = {"meta", "input", "br", "link", "img", "hr"}


class Outline(HTMLParser):
    """Which elements there are, and whether each is closed where it has to be."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at line {self.getpos()[0]}"

    def all(self, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for _, attrs in self.elements if attribute in attrs]


def outline(page: Path) -> Outline:
    reader = Outline()
    reader.feed(page.read_text())
    reader.close()
    assert reader.open == []
    return reader


# One file


def test_the_page_is_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    page = write_explorer(tmp_path / "new" / "explorer.html")
    text = page.read_text()
    assert [path.name for path in page.parent.iterdir()] == ["explorer.html"]
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)|\bfetch\(|XMLHttpRequest|\bimport\(", text)
    assert "default-src 'none'" in text
    found = outline(page)
    assert not {"src", "href", "action"} & {name for _, attrs in found.elements for name in attrs}
    assert "/*{" not in text, "a mark was not filled in"


def test_every_script_of_the_folder_is_in_the_page(tmp_path: Path) -> None:
    page = write_explorer(tmp_path / "explorer.html").read_text()
    folder = Path(write_explorer.__code__.co_filename).parent
    assert sorted(SCRIPTS) == sorted(path.name for path in folder.glob("*.js"))
    for path in [*folder.glob("*.js"), *folder.glob("*.css")]:
        assert path.read_text() in page
        assert "</" + "script" not in path.read_text()


def test_names_are_unique_and_labels_and_descriptions_point_to_something(tmp_path: Path) -> None:
    page = write_explorer(tmp_path / "explorer.html")
    found = outline(page)
    ids = found.all("id")
    assert len(ids) == len(set(ids))
    referred = found.all("for") + found.all("list") + found.all("aria-labelledby") + found.all("aria-describedby")
    assert set(referred) <= set(ids)
    assert set(re.findall(r'byId\("([\w-]+)"\)', page.read_text())) <= set(ids)
    sliders = [attrs["id"] for tag, attrs in found.elements if tag == "input"]
    assert set(sliders) == set(settings()) - {"x", "y"}
    labels = [attrs["for"] for tag, attrs in found.elements if tag == "label"]
    assert sorted(labels) == sorted(map(str, sliders))


def test_the_page_opens_with_the_state_it_was_given(tmp_path: Path) -> None:
    text = write_explorer(tmp_path / "explorer.html", {"l1": 1.1, "angle": -35}).read_text()
    given = re.search(r'id="given">(.*?)</script>', text)
    assert given
    assert json.loads(given[1]) == {"l1": 1.1, "angle": -35}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"lambda1": 1}, "l1"),
        ({"l1": 7}, "l1 must be between -1.5 and 1.5, got 7"),
        ({"angle": math.nan}, "angle must be a number, got nan"),
        ({"u": "1"}, "u must be a number, got '1'"),
        ({"u": True}, "u must be a number, got True"),
    ],
)
def test_a_state_that_cannot_be_is_refused(tmp_path: Path, state: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        write_explorer(tmp_path / "explorer.html", state)
    assert not (tmp_path / "explorer.html").exists()


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
        ([[0.7, -0.3], [-0.3, 0.7]], [0.5, -0.25]),
        ([[0.2, 0.9], [0.1, -0.4]], [0.0, 1.0]),
        ([[-0.5, 0.0], [0.8, 1.1]], [0.0, 0.0]),
    ],
)
def test_a_network_of_two_units_opens_the_page(tmp_path: Path, weight: list[list[float]], bias: list[float]) -> None:
    found = explorer_settings(System(torch.tensor(weight), None, torch.tensor(bias)))
    assert found is not None
    assert found["l1"] >= found["l2"]
    assert -90 < found["angle"] <= 90
    v1, v2 = (
        [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]
        for degrees in (found["angle"], found["angle"] + found["between"])
    )
    v = torch.tensor([v1, v2], dtype=F64).T
    want = v @ torch.diag(torch.tensor([found["l1"], found["l2"]], dtype=F64)) @ torch.linalg.inv(v)
    torch.testing.assert_close(want, torch.tensor(weight, dtype=torch.float32).double(), rtol=0, atol=1e-6)
    assert [found["b1"], found["b2"]] == bias
    assert write_explorer(tmp_path / "explorer.html", found).exists()


@pytest.mark.parametrize(
    "system",
    [
        System(torch.tensor([[0.0, -1.0], [1.0, 0.0]]), None, torch.zeros(2)),
        System(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), None, torch.zeros(2)),
        System(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), None, torch.zeros(2)),
        System(torch.eye(2), None, torch.tensor([0.0, 3.0])),
        System(torch.eye(2), None, torch.zeros(2), "tanh"),
        System(torch.eye(2), None, torch.zeros(2), linear_units=1),
        System(torch.eye(3), None, torch.zeros(3)),
        System(torch.eye(2).expand(4, 2, 2), None, torch.zeros(2)),
    ],
    ids=["complex", "2 is beyond", "one direction", "bias", "tanh", "linear units", "three units", "ensemble"],
)
def test_a_network_that_the_page_cannot_show_has_no_settings(system: System) -> None:
    assert explorer_settings(system) is None
    assert explorer_address(system) is None


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        write_explorer(tmp_path)


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plane.html"
    assert main(["explore", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    assert out.read_bytes() == write_explorer(tmp_path / "other.html").read_bytes()
    assert main(["explore", "--out", str(tmp_path)]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_on_its_ground(scheme: str) -> None:
    style = (Path(write_explorer.__code__.co_filename).parent / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", blocks[scheme == "dark"]))
    for name in ("ink", "soft", "path", "paper", "neutral", "cycle", "unit", "other"):
        for ground in ("page", "card"):
            assert contrast(colours[name], colours[ground]) >= 4.5, f"{name} on {ground}, {scheme}"
    assert contrast(colours["on-press"], colours["press"]) >= 4.5


def contrast(first: str, second: str) -> float:
    """The ratio of luminances that WCAG 2 asks to be at least 4.5 for text."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# In a browser. Playwright drives the Chromium that is there, has real key presses and touches, and emulates colour
# schemes and reduced motion.

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; required when CI=true, skipped with a reason elsewhere."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        absent(f"THE EXPLORER IS NOT TESTED IN A BROWSER: none of {', '.join(names)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("THE EXPLORER IS NOT TESTED IN A BROWSER: playwright is not installed (pip install -e '.[browser]')")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path)
        yield found
        found.close()


@pytest.fixture
def explorer(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens the page; at the end nothing may have been complained of, nor asked of any network."""
    page_file = write_explorer(tmp_path / "explorer.html")
    contexts, complaints, asked = [], [], set()

    def open_page(hash_: str = "", width: int = 1280, height: int = 900, motion: str = "reduce", **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion=motion, offline=True, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.split("#")[0]))
        page.goto(page_file.as_uri() + hash_)
        drawn(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert asked <= {page_file.as_uri()}


def drawn(page: Any) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def until(page: Any, condition: str) -> None:
    """Wait for a condition. Playwright's own waiting evaluates text, which the page's policy forbids."""
    page.evaluate(
        f"""() => new Promise((done, fail) => {{
          const begun = performance.now();
          const late = () => performance.now() - begun > 60000;
          const look = () => ({condition}) ? done() : late() ? fail(new Error("never")) : requestAnimationFrame(look);
          look();
        }})"""
    )


def state_of(page: Any) -> dict[str, float]:
    state: dict[str, float] = page.evaluate("nprnn.state")
    return state


# What chance leaves out: whole sets of fixed points and of 2-cycles, borders of regions, several points at once.
SPECIAL: list[dict[str, float]] = [
    {"l1": 1, "l2": 1, "angle": 25},
    {"l1": 1, "l2": 0.6, "angle": 25},
    {"l1": 1.1, "l2": 0.6, "angle": 25},
    {"l1": 1, "l2": 0.8, "angle": -35},
    {"l1": 1, "l2": 0.5, "angle": -45, "b1": 0.5, "b2": 0.5},
    {"l1": 1.3, "l2": 0.3, "angle": -45, "b1": 0.5, "b2": 0.5},
    {"l1": 0.5, "l2": -1.2, "angle": 45, "b1": 0.3, "b2": 0.3},
    {"l1": 1, "l2": -1, "angle": 45},
    {"l1": 0.5, "l2": -1, "angle": 45, "b1": 0.5, "b2": 0.5},
    {"l1": -1, "l2": -1, "angle": 10, "b1": 0.5, "b2": 0.25},
    {"l1": 0, "l2": 0, "angle": 10, "b1": -0.5, "b2": 0.25},
    {"l1": 1.2, "l2": 1, "angle": 0},
]


def some_settings(count: int) -> list[dict[str, float]]:
    """Those above, and settings at random, special values often among them."""
    rng = np.random.default_rng(7)
    plain = {"between": 90, "b1": 0, "b2": 0, "u": 0, "steps": 40, "x": 1.6, "y": 0.3}
    found = [plain | special for special in SPECIAL]
    for k in range(count):
        special = rng.random(2) < 0.35
        l1, l2 = np.where(special, rng.choice([1.0, -1.0, 0.0, 1.2, -1.1], 2), rng.uniform(-1.5, 1.5, 2))
        biases = rng.uniform(-1, 1, 3) * (rng.random() < 0.75)
        x, y = rng.uniform(-0.5, 2, 2)
        found.append(
            {
                "l1": round(float(l1), 2),
                "l2": round(float(l2), 2),
                "angle": int(rng.choice([0, 45, -45, 90, 180])) if k % 4 == 0 else int(rng.integers(-180, 181)),
                "between": 90 if rng.random() < 0.6 else int(rng.integers(15, 166)),
                "b1": round(float(biases[0]) * 20) / 20,
                "b2": round(float(biases[1]) * 20) / 20,
                "u": round(float(biases[2]) * 20) / 20,
                "steps": int(rng.integers(1, 60)),
                "x": round(float(x), 3),
                "y": round(float(y), 3),
            }
        )
    return found


NUMBERS = """(all) => all.map((given) => {
  nprnn.set(given);
  const s = nprnn.state;
  return { state: s, readings: Object.fromEntries(nprnn.READINGS.map((reading) => {
    const system = nprnn.system(s, reading);
    const start = reading === "paper" ? nprnn.toEigen(s, [s.x, s.y]) : [s.x, s.y];
    const path = nprnn.trajectory(system, start, s.steps);
    const { logs, perStep } = nprnn.gradient(system, path);
    return [reading, { system, start, path, perStep, gone: logs.includes(-Infinity),
      points: nprnn.fixedPoints(system), cycles: nprnn.cycles(system), regions: nprnn.regions(system).regions }];
  })) };
})"""


@pytest.mark.slow
def test_the_numbers_are_those_of_the_package(explorer: Open) -> None:
    given = some_settings(30)
    answers = explorer().evaluate(NUMBERS, given)
    kinds = set()
    for wanted, answer in zip(given, answers, strict=True):
        state = answer["state"]
        assert {name: state[name] for name in wanted} == pytest.approx(wanted)
        for reading in READINGS:
            said = answer["readings"][reading]
            system = system_of(said)
            torch.testing.assert_close(system.weight_hh, weight_of(state, reading), rtol=1e-12, atol=1e-13)
            torch.testing.assert_close(system.bias, drive_of(state, reading), rtol=1e-12, atol=1e-13)
            for period, name in ((1, "points"), (2, "cycles")):
                orbits = find_fixed_points(system) if period == 1 else find_cycles(system, 2)
                assert orbits.exhaustive
                kinds |= same_orbits(system, orbits.found, said[name], f"{reading}, {name}, {state}")
            same_path(system, said, state["steps"])
            for region in said["regions"]:
                part = torch.tensor(region["on"])[:, None] * system.weight_hh
                wanted_values = torch.linalg.eigvals(part).abs().sort(descending=True)[0]
                torch.testing.assert_close(
                    torch.tensor(region["multipliers"], dtype=F64).abs(), wanted_values, rtol=1e-7, atol=1e-7
                )
    # Chance has not left out what there is to test.
    assert {(1, 0, "stable"), (1, 0, "unstable"), (1, 1, "neutral"), (1, 1, "unstable"), (1, 2, "neutral")} <= kinds
    assert {(2, 0, "stable"), (2, 1, "neutral"), (2, 2, "neutral")} <= kinds


def system_of(said: dict[str, Any]) -> System:
    weight = torch.tensor(said["system"]["weight"], dtype=F64)
    return System(weight, None, torch.tensor(said["system"]["drive"], dtype=F64))


def eigenvectors_of(state: dict[str, float]) -> Tensor:
    angles = torch.deg2rad(torch.tensor([state["angle"], state["angle"] + state["between"]], dtype=F64))
    return torch.stack([angles.cos(), angles.sin()])


def weight_of(state: dict[str, float], reading: str) -> Tensor:
    values = torch.diag(torch.tensor([state["l1"], state["l2"]], dtype=F64))
    v = eigenvectors_of(state)
    return values if reading == "paper" else v @ values @ torch.linalg.inv(v)


def drive_of(state: dict[str, float], reading: str) -> Tensor:
    drive = torch.tensor([state["b1"] + state["u"], state["b2"] + state["u"]], dtype=F64)
    return torch.linalg.inv(eigenvectors_of(state)) @ drive if reading == "paper" else drive


def same_orbits(
    system: System, found: tuple[Orbit, ...], said: list[dict[str, Any]], where: str
) -> set[tuple[int, int, str]]:
    assert len(found) == len(said), where
    left = list(said)
    for orbit in found:
        k = orbit.period
        match = next(
            ((o, j) for o in left for j in range(k) if o["masks"][j:] + o["masks"][:j] == orbit.masks.tolist()), None
        )
        assert match is not None, where
        other, turn = match
        left.remove(other)
        assert other["dimension"] == orbit.dimension, where
        assert other["border"] == orbit.border, where
        points = torch.tensor(other["points"], dtype=F64)
        points = torch.cat([points[turn:], points[:turn]])
        size = 1 + float(points.abs().max())
        # Both are orbits; one that stands alone is the same.
        torch.testing.assert_close(system.step(points), points.roll(-1, 0), rtol=0, atol=1e-9 * size)
        if orbit.dimension == 0:
            torch.testing.assert_close(points, orbit.points, rtol=1e-7, atol=1e-8 * size)
        if orbit.dimension == 1:
            assert turn == 0, where
            direction = torch.tensor(other["direction"], dtype=F64)
            assert abs(abs(float(direction @ orbit.directions[:, 0])) - 1) < 1e-9, where
            between(orbit.points[0], other["ends"], points[0], direction, where)
        values = sorted(map(abs, other["multipliers"]), reverse=True)
        # A double eigenvalue moves by the root of the rounding.
        assert values == pytest.approx(orbit.multipliers.abs().tolist(), rel=1e-6, abs=1e-6), where
        if orbit.stability == "border":
            as_it_moves(system, orbit, other["stability"], where)
        else:
            assert other["stability"] == orbit.stability, where
            assert other["growth"] == pytest.approx(max(orbit.growth, float(orbit.dimension > 0)), rel=1e-3), where
    return {(len(o["points"]), o["dimension"], o["stability"]) for o in said}


def between(point: Tensor, ends: list[list[float] | None], inside: Tensor, direction: Tensor, where: str) -> None:
    """The package's point of a set lies on the page's line, and not beyond its ends."""
    along = float((point - inside) @ direction)
    assert float((point - inside - along * direction).norm()) < 1e-8 * (1 + float(point.norm())), where
    low, high = (
        math.copysign(math.inf, sign) if end is None else float((torch.tensor(end, dtype=F64) - inside) @ direction)
        for end, sign in zip(ends, (-1, 1), strict=True)
    )
    assert low - 1e-8 <= along <= high + 1e-8, where


def as_it_moves(system: System, orbit: Orbit, stability: str, where: str) -> None:
    """What the package leaves open is decided by running it: a ring of states around the orbit, for many turns."""
    angles = torch.linspace(0, 2 * math.pi, 361, dtype=F64)
    around = torch.stack([angles.cos(), angles.sin()], 1)
    start = orbit.points[0]
    h = start + 1e-6 * around
    for _ in range(500 * orbit.period):
        h = system.step(h)
        # Those that leave have left; they must not overflow.
        h = torch.where((h - start).norm(dim=1, keepdim=True) > 1e-2, start + 1.0, h)
    away = float((h - start).norm(dim=1).max()) / 1e-6
    assert {"stable": away < 1e-2, "neutral": 1e-2 <= away < 1e2, "unstable": away >= 1e2}[stability], where


def same_path(system: System, said: dict[str, Any], steps: int) -> None:
    start = torch.tensor([said["start"]], dtype=F64)
    path = run(system, h0=start, steps=steps)
    states = torch.tensor(said["path"]["states"], dtype=F64)[1:]
    torch.testing.assert_close(states, path.states[:, 0], rtol=1e-9, atol=1e-10)
    if path.active[:, 0].tolist() != said["path"]["on"]:
        # Only where a z is rounding.
        before = torch.cat([start, path.states[:-1, 0]]) @ system.weight_hh.T + system.bias
        unlike = path.active[:, 0] != torch.tensor(said["path"]["on"])
        assert float(before[unlike].abs().max()) < 1e-12
        return
    angles = torch.linspace(0, math.pi, 2001, dtype=F64)
    curve = gradient_curve(path, torch.stack([angles.cos(), angles.sin()], 1)[None])
    # The most of any gradient is the norm of the Jacobian.
    assert said["gone"] == bool(curve.vanished().all())
    assert said["perStep"] == pytest.approx(float(curve.per_step().max()), rel=1e-5, abs=1e-12)


@pytest.mark.slow
def test_every_slider_moves_by_keyboard(explorer: Open) -> None:
    page = explorer()
    for name, ends in settings().items():
        if name in ("x", "y"):
            continue
        slider = page.locator(f"#{name}")
        was = state_of(page)[name]
        before = page.locator("#network-plane svg").inner_html()
        slider.focus()
        page.keyboard.press("ArrowRight")
        drawn(page)
        step = float(slider.get_attribute("step"))
        assert state_of(page)[name] == pytest.approx(was + step)
        assert page.locator(f"#{name}-value").inner_text() == slider.get_attribute("aria-valuetext")
        for key, end in (("Home", ends.low), ("End", ends.high)):
            page.keyboard.press(key)
            drawn(page)
            assert state_of(page)[name] == pytest.approx(end)
        assert page.locator("#network-plane svg").inner_html() != before, name
        page.evaluate("([name, value]) => nprnn.set({ [name]: value })", [name, was])
        drawn(page)


@pytest.mark.slow
def test_presets_show_what_they_say(explorer: Open) -> None:
    page = explorer()
    verdicts = {
        "(a) 1 and 1": ("Neutral cone of fixed points.", "Neutral cone of fixed points."),
        "(b) both < 1": ("Stable fixed point (0, 0).", "Stable fixed point (0, 0)."),
        "(c) 1 and < 1": ("Neutral ray of fixed points.", "Neutral ray of fixed points."),
        "(d) one > 1": ("Saddle (0, 0); some starts diverge.", "Saddle (0, 0); some starts diverge."),
        "mixed-sign eigenvector: dies": ("Neutral ray of fixed points.", "Stable fixed point (0, 0)."),
        "non-negative eigenvector: survives": ("Neutral ray of fixed points.", "Neutral ray of fixed points."),
        "a bias brings the line back": ("Neutral ray of fixed points.", "Neutral segment of fixed points."),
        "λ > 1, yet bounded": (
            "Saddle (0, 1.01); some starts diverge.",
            "Saddle (0.714, 0.714); 2 stable fixed points (2.5, 0), (0, 2.5).",
        ),
        "a 2-cycle": ("Stable fixed point (0.849, 0).", "Saddle (0.6, 0.6); stable 2-cycle (0, 2) ⇄ (2, 0)."),
        "skewed: grows, then dies": ("Stable fixed point (0, 0).", "Stable fixed point (0, 0)."),
    }
    assert page.locator(".buttons button").all_inner_texts() == list(verdicts)
    for name, said in verdicts.items():
        button = page.get_by_role("button", name=name, exact=True)
        button.press("Enter")
        drawn(page)
        assert tuple(page.locator(f"#{reading}-verdict").inner_text() for reading in READINGS) == said
        assert button.get_attribute("aria-pressed") == "true"
        assert page.locator('.buttons [aria-pressed="true"]').count() == 1
        count = sum(len(page.evaluate("(r) => nprnn.fixedPoints(nprnn.system(nprnn.state, r))", r)) for r in READINGS)
        count += sum(len(page.evaluate("(r) => nprnn.cycles(nprnn.system(nprnn.state, r))", r)) for r in READINGS)
        assert page.locator("#orbit-table tbody tr").count() == count
    page.locator("#l1").press("ArrowLeft")
    drawn(page)
    assert page.locator('.buttons [aria-pressed="true"]').count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_path_starts_where_one_clicks_or_presses_enter(explorer: Open, motion: str) -> None:
    page = explorer(motion=motion)
    whole = "document.querySelector('#network-plane .path-dots').getAttribute('d').split('M').length - 1"
    box = page.locator("#network-plane").bounding_box()
    # The window is [-0.3, 1] times its size, 2.
    side = box["width"] / 1.3
    page.mouse.click(box["x"] + side * (0.3 + 0.4), box["y"] + side * (1 - 0.7))
    drawn(page)
    state = state_of(page)
    assert (state["x"], state["y"]) == pytest.approx((0.8, 1.4), abs=0.01)
    if motion == "reduce":
        assert page.evaluate(whole) == state["steps"]
    until(page, f"{whole} === nprnn.state.steps")

    # The same start in both planes, whichever it was given in.
    plane = page.locator("#paper-plane")
    page.locator("#zoom").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "paper-plane"
    drawn(page)
    assert plane.locator(".cross").count() == 1
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    drawn(page)
    a = page.evaluate("() => { const s = nprnn.state; return nprnn.toEigen(s, [s.x, s.y]); }")
    was = torch.linalg.inv(eigenvectors_of(state)) @ torch.tensor([state["x"], state["y"]], dtype=F64)
    assert a == pytest.approx([float(was[0]) - 0.1, float(was[1]) + 0.2], abs=1e-5)
    page.keyboard.press("Tab")
    drawn(page)
    assert plane.locator(".cross").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1440])
def test_nothing_runs_over_the_edge(explorer: Open, width: int) -> None:
    page = explorer("", width, 800, color_scheme="dark" if width == 390 else "light")
    for name in page.locator(".buttons button").all_inner_texts():
        page.get_by_role("button", name=name, exact=True).click()
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        for reading in READINGS:
            box = page.locator(f"#{reading}-plane svg").bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            out = page.evaluate(
                """(id) => {
                  const box = (x) => x.getBoundingClientRect(), p = box(document.querySelector(id));
                  return [...document.querySelectorAll(`${id} text`)]
                    .filter((t) => box(t).left < p.left - 4 || box(t).right > p.right + 4).map((t) => t.textContent);
                }""",
                f"#{reading}-plane",
            )
            assert out == [], (name, reading)
    beside = page.locator("#paper-plane").bounding_box()["y"] == page.locator("#network-plane").bounding_box()["y"]
    assert beside == (width > 736), "side by side where there is room, stacked on a phone"


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_tab_key_reaches_every_control(explorer: Open, width: int) -> None:
    page = explorer("", width, 800)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            page.keyboard.press("Enter")
        if page.evaluate("document.activeElement.matches('button, input, summary, .plane')"):
            outline_ = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline_ != "none", "the focus is not seen"
    controls = page.locator(".buttons button").all_inner_texts() + [f"{reading}-plane" for reading in READINGS]
    assert {*controls, *settings()} - {"x", "y"} <= reached


@pytest.mark.slow
def test_a_phone_is_enough(explorer: Open) -> None:
    page = explorer("", 390, 844, has_touch=True, is_mobile=True, device_scale_factor=2)
    assert not page.locator("#l1").is_visible()
    page.locator("summary").tap()
    slider = page.locator("#l1")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    drawn(page)
    assert state_of(page)["l1"] == pytest.approx(0, abs=0.1)
    # The sheet leaves the better part of a plane in sight.
    assert page.locator("#controls").bounding_box()["height"] <= 0.53 * 844
    page.locator("summary").tap()
    plane = page.locator("#network-plane")
    plane.evaluate("(plane) => plane.scrollIntoView({ block: 'start' })")
    box = plane.bounding_box()
    page.touchscreen.tap(
        box["x"] + box["width"] * (0.3 + 0.5) / 1.3, box["y"] + box["width"] * (1 - (0.3 + 0.25) / 1.3)
    )
    drawn(page)
    assert (state_of(page)["x"], state_of(page)["y"]) == pytest.approx((1, 0.5), abs=0.02)


@pytest.mark.slow
def test_the_address_holds_the_state(explorer: Open) -> None:
    page = explorer("#l1=1.1&angle=-35&x=0.4")
    state = state_of(page)
    assert (state["l1"], state["angle"], state["x"]) == (1.1, -35, 0.4)
    page.locator("#l1").press("ArrowRight")
    until(page, "location.hash.includes('l1=1.11')")
    other = explorer(page.evaluate("location.hash"))
    assert state_of(other) == state_of(page) == {**state, "l1": 1.11}
    # What is wrong in an address counts as not said; what is out of range is brought in.
    page.evaluate("location.hash = '#l1=abc&l2=&angle=999&b1=0.07&nonsense=1&x=Infinity'")
    until(page, "nprnn.state.angle === 180")
    state = state_of(page)
    fresh = state_of(explorer())
    assert (state["l1"], state["l2"], state["b1"], state["x"]) == (fresh["l1"], fresh["l2"], 0.05, fresh["x"])


@pytest.mark.slow
def test_what_is_set_by_program_is_checked(explorer: Open) -> None:
    page = explorer()
    said = "(given) => { try { nprnn.set(given); return ''; } catch (error) { return error.message; } }"
    assert "no setting is called lambda" in page.evaluate(said, {"lambda": 1})
    assert "l1 must be a number" in page.evaluate(said, {"l1": "much"})
    assert page.evaluate(said, {"l1": 9, "b2": 0.31}) == ""
    assert (state_of(page)["l1"], state_of(page)["b2"]) == (1.5, 0.3)
    assert set(page.evaluate("nprnn.parameters")) == set(settings())
