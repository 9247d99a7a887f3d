"use strict";
// The tables, as HTML: what is found in both readings, side by side.
const Tables = (() => {
  const { READINGS } = Systems;
  const { show, units, point, kind, ending, place, signs, gradientWords, itinerary } = Words;
  const NAMES = { paper: "paper’s reading", network: "network" };
  const LETTERS = { paper: "a", network: "h" };

  const row = (cells) =>
    `<tr>${cells.map((c, i) => (i ? `<td>${c}</td>` : `<th scope="row">${c}</th>`)).join("")}</tr>`;
  const head = (cells) => `<thead><tr>${cells.map((c) => `<th scope="col">${c}</th>`).join("")}</tr></thead>`;
  const body = (rows) => `<tbody>${rows.map(row).join("")}</tbody>`;

  function mark(orbit, period) {
    const cycle = period === 2 ? "cycle " : "";
    const shape = orbit.dimension
      ? `<path class="set ${cycle}${orbit.stability}" d="M-9 0H9"/><path class="set-core" d="M-9 0H9"/>`
      : Marks.glyph(cycle + (orbit.saddle && !cycle ? "saddle" : orbit.stability));
    return `<svg class="mark-cell" viewBox="-9 -9 18 18" aria-hidden="true">${shape}</svg>`;
  }

  /** found: by reading {system, start, path, points, cycles, gradient}. */
  function orbits(found) {
    const all = (r) => [...found[r].points.map((o) => [o, 1]), ...found[r].cycles.map((o) => [o, 2])];
    const rows = READINGS.flatMap((r) => {
      const list = all(r).map(([o, period]) => [
        NAMES[r], `${mark(o, period)} ${kind(o, period)}`, place(o), o.masks.map(units).join(" ⇄ "),
        o.border ? `${show(o.growth)}*` : o.multipliers.map(show).join(", ")]);
      return list.length ? list : [[NAMES[r], "none", "", "", ""]];
    });
    const note = "* A z is exactly 0 and regions meet: the largest factor of a direction that comes back to itself.";
    const starred = READINGS.some((r) => all(r).some(([o]) => o.border));
    return head(["", "kind", "where (a or h)", "after the step", "multipliers"]) + body(rows) +
      (starred ? `<tfoot><tr><td colspan="5">${note}</td></tr></tfoot>` : "");
  }

  function regions(found) {
    const lists = READINGS.map((r) => Systems.regions(found[r].system).regions);
    return head(["after the step", ...READINGS.map((r) => NAMES[r])]) + body(lists[0].map(({ on }, k) =>
      [units(on), ...lists.map((list) => list[k].multipliers.map(show).join(", "))]));
  }

  function weight({ network }, vectors) {
    const { weight, drive } = network.system;
    return body([
      ["W", `<span class="matrix">${weight.map((r) => r.map(show).join("&emsp;")).join("<br>")}</span>`],
      ["b + u", point(drive)],
      ...vectors.map((v, i) => [`v${"₁₂"[i]}`, `${point(v)}: ${signs(v)}`]),
      ["‖W‖", show(Systems.norm(weight))],
    ]);
  }

  function path(found, steps) {
    const cells = (f) => READINGS.map((r) => f(found[r], LETTERS[r]));
    return head(["path from the start", ...READINGS.map((r) => NAMES[r])]) + body([
      ["start", ...cells((x, letter) => `${letter} = ${point(x.start)}`)],
      [`after ${steps} step${steps > 1 ? "s" : ""}`,
        ...cells((x, letter) => `${letter} = ${point(x.path.states[steps])}`)],
      ["in the end", ...cells((x) => ending(x.system, x.start))],
      ["regions on the way", ...cells((x) => itinerary(x.path.on))],
      ["gradient per step, ‖∂h<sub>T</sub>/∂h<sub>0</sub>‖<sup>1/T</sup>",
        ...cells((x) => `<b>${gradientWords(x.gradient)}</b>`)],
    ]);
  }

  return { orbits, regions, weight, path };
})();
