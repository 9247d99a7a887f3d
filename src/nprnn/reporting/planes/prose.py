"""The sentences of the page of an experiment on planes, from the numbers where they tell numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from nprnn.experiments.planes import PlanesFindings
from nprnn.reporting.factors import near
from nprnn.reporting.planes.words import times

QUANTITIES: Mapping[str, str] = {
    "growth": "growth per step, mean of draws",
    "lowest": "growth per step, least of draws",
    "highest": "growth per step, greatest of draws",
    "far_growth": "growth per step far from the loss",
}
QUICK = "Quick scale: smaller networks and fewer draws than the experiment asks for."
PLANES = (
    "A state h has two entries, there is no input and no bias, and a step takes h to max(0, W h). The paper lets the "
    "maximum act on the coordinates along the eigenvectors of W (its Eq. 8); then the eigenvalues alone decide. A "
    "network clips its units. With W = λ₂ I + (λ₁ − λ₂) v vᵀ the leading eigenvector v may have entries of one sign, "
    "so that a multiple of it is a state, or of mixed signs, so that none is: what points along it loses an entry at "
    "every step."
)
RAYS = (
    "W is symmetric and positive definite, so a step turns the directions of the quadrant continuously and in order, "
    "and never to nothing. A direction that moves in order and within bounds comes to rest: every state ends up along "
    "a ray that the step keeps, and grows as that one does. This decides the origin's stability also where regions "
    "meet in it and neither the multipliers nor the norms of their maps do."
)
EXPECTED = (
    "PASS where the measured number is no further from the expected one than the tolerance, which is written in the "
    "experiment's file. What the paper's argument for two units would mean for N units stands beside what was "
    "measured before: a first sounding is our own measurement, made before the experiment was written."
)


def unmeasured(findings: PlanesFindings) -> str:
    """Which sizes a scale leaves out though numbers of them are expected; empty where none are."""
    missing = Counter(number.expected.hidden for number in findings.numbers if number.measured is None)
    if not missing:
        return ""
    sizes = " and ".join(f"N = {hidden}" for hidden in missing)
    expected = f"what is expected of {sizes} ({missing.total()} in all)"
    remedy = "; --scale paper measures it" if findings.scale == "quick" else ""
    return f"Scale {findings.scale} has no number to hold against {expected}{remedy}."


def what_it_is(findings: PlanesFindings) -> str:
    """What is on the page."""
    growth = findings.experiment.growth
    return (
        "The paper argues for its start with the phase planes of two units. Here they are as it draws them and as a "
        f"network moves; and, for networks of N units, what is left of a gradient after {growth.length} steps back "
        f"through the masks that the inputs of the {growth.task} problem set, before any training."
    )


def in_short(findings: PlanesFindings) -> list[str]:
    """What was found, in a few lines."""
    holds = [v for v in findings.fates if v.holds]
    lines = [f"The paper's claims hold in {len(holds)} of {len(findings.fates)} planes."]
    for verdict in findings.fates:
        if not verdict.holds:
            lines.append(
                f"({verdict.case.name}), {verdict.frame.name}: the paper has “{verdict.case.fate}”; it "
                f"{verdict.plane.fate}, at {times(verdict.plane.growth)} a step."
            )
    judged = [number for number in findings.numbers if number.outcome is not None]
    if judged:
        missed = [number for number in judged if number.outcome == "MISS"]
        lines.append(f"Of {len(judged)} numbers that were expected, {len(judged) - len(missed)} pass.")
        for number in missed:
            expected = number.expected
            lines.append(
                f"{expected.scheme} at N = {expected.hidden}: {QUANTITIES[expected.quantity]} "
                f"{near(number.measured or 0.0)}, expected {expected.value:g} ± {expected.within:g} "
                f"({expected.source})."
            )
    return lines


def planes_caption(findings: PlanesFindings) -> str:
    """What the picture does not say itself."""
    steps = findings.experiment.steps
    return (
        f"{len(findings.experiment.starts)} states, the same in every panel, followed for {steps} steps. In the first "
        "row the coordinates are those along the eigenvectors. Dashed: the first step of a state outside of the "
        "quadrant; none ever leaves the quadrant again. Lines through the origin part the plane by which units the "
        "next step leaves on; within a part the map is linear."
    )


def signs(findings: PlanesFindings) -> str:
    """Why N units do not do as two do."""
    sizes = findings.experiment.growth.sizes
    chances = ", ".join(f"{2.0 ** (1 - n):.2g} for N = {n}" for n in sizes)
    return (
        "At an angle from 0 to 90° both entries of v have one sign, and the fastest growth is λ₁. Below 0° each unit "
        "suppresses the other, one of them ends at 0, and what is left is a diagonal entry of W: the greater of λ₁ "
        "cos²θ + λ₂ sin²θ and λ₁ sin²θ + λ₂ cos²θ, which is between λ₁ and the mean of both eigenvalues. The "
        "directions of the eigenvectors of Eq. 9 are uniformly random, so all N entries of the leading one have the "
        f"same sign with probability 2^(1−N): {chances}."
    )


def turns_caption(findings: PlanesFindings) -> str:
    """What the picture does not say itself."""
    parts = []
    for case in findings.experiment.cases:
        found = {turn.angle: turn.growth for turn in findings.turns if turn.case == case.name}
        below = [angle for angle, growth in found.items() if growth < 1]
        if below and len(below) == len(found):
            parts.append(f"({case.name}) at every angle")
        elif below:
            parts.append(f"({case.name}) from {min(below):g}° to {max(below):g}°".replace("-", "−"))
    words = "Dots: the angles of the phase planes above. Grey: a leading eigenvector of mixed signs."
    return f"{words} The fastest growth is below 1: {'; '.join(parts)}." if parts else words


def gradients(findings: PlanesFindings) -> str:
    """What is measured, and how."""
    growth = findings.experiment.growth
    return (
        f"For each of {growth.draws} draws: a start, a sequence of the {growth.task} problem (T = {growth.length}, "
        "marks anywhere) and a Gaussian vector g_T for the gradient at the last state. It is carried back through the "
        "actual masks, g_{t−1} = Wᵀ D_t g_t, with D_t the diagonal matrix of f′ at step t, and its growth per step is "
        "(‖g_0‖ / ‖g_T‖)^(1/T). Means over draws are geometric, over those gradients that did not become exactly 0."
    )


def gradients_caption(findings: PlanesFindings) -> str:
    """What the picture does not say itself."""
    words = (
        "Marks: geometric means over draws; bars: from the least to the greatest draw. The scale is linear between −1 "
        "and 1 and logarithmic in the power beyond."
    )
    lost = [row for row in findings.rows if row.vanished > 0]
    if lost:
        most = max(lost, key=lambda row: row.vanished)
        words += (
            f" Gradients that became exactly 0 are left out: up to {100 * most.vanished:.0f} % of them "
            f"({most.scheme}, N = {most.hidden}); the table has all shares."
        )
    return words


def columns(findings: PlanesFindings) -> str:
    """What the columns of the growth table are."""
    steps = findings.experiment.growth.length
    return (
        f"far: growth per step over the {min(steps, 100)} steps furthest from the loss; left: what the mean growth "
        f"leaves after {steps} steps; vanished: gradients that became exactly 0; states: ‖h_T‖ / ‖h_1‖; on: share of "
        "units that are on, over steps; dead: units on at no step; ρ(W): spectral radius; ‖W‖: largest singular "
        "value; non-normal: departure from normality over the Frobenius norm; ρ(D W): spectral radius of the active "
        "part. tanh units are never off."
    )
