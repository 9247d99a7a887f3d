"use strict";
// Fixed points and 2-cycles as drawn: each kind has a shape of its own, beside its colour.
const Marks = (() => {
  const { length } = Systems;
  const { show } = Words;
  const { round, line, polygon, inside, around } = Frame;

  /** Lines and cones of fixed points and of 2-cycles. */
  function sets(f, { reading, points, cycles }, labels) {
    const shapes = [];
    for (const [orbit, period] of [...points.map((o) => [o, 1]), ...cycles.map((o) => [o, 2])]) {
      const kind = `${period === 2 ? "cycle " : ""}${orbit.stability}`;
      const name = period === 2 ? "2-cycles" : orbit.stability;
      if (orbit.dimension === 2) {
        const corners = f.corners.length && [[1, 0], [-1, 0], [0, 1], [0, -1]].reduce((rest, axis, k) =>
          Orbits.clip(rest, axis, k % 2 ? f.high : -f.low), orbit.corners);
        shapes.push(`<path class="cone ${kind}" fill="url(#${reading}-cone)" d="${polygon(f, corners)}"/>`);
        const place = [0.5 * f.size, 0.94 * f.size];
        labels.put(`${name}: every state here`, `set-name ${kind}`, [[f.x(place), f.y(place)]]);
      } else if (orbit.dimension === 1) {
        const ends = reach(f, orbit);
        const d = line(f, ends);
        shapes.push(`<path class="set ${kind}" d="${d}"/><path class="set-core ${kind}" d="${d}"/>`);
        const middle = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8].map((share) => share * 2).flatMap((share) => {
          const visible = cut(f, ends);
          if (!visible) return [];
          const h = visible[0].map((x, i) => x + (share / 2) * (visible[1][i] - x));
          const [dx, dy] = [orbit.direction[0], orbit.direction[1]];
          const half = name.length * 3.6 + 8;
          return [1, -1].map((side) => [f.x(h) + side * dy * half, f.y(h) + side * dx * 16]);
        });
        labels.put(name, `set-name ${kind}`, middle);
      }
    }
    return shapes.join("");
  }

  /** The ends of a line of orbits, beyond the window where it has none. */
  function reach(f, orbit) {
    const far = 4 * (f.high - f.low + length(orbit.points[0]));
    return orbit.ends.map((end, k) =>
      end || orbit.points[0].map((x, i) => x + (k ? far : -far) * orbit.direction[i]));
  }

  /** Keep the labels that are still to come off the lines. */
  function keepFree(f, { points, cycles }, labels) {
    for (const orbit of [...points, ...cycles].filter((o) => o.dimension === 1)) {
      const visible = cut(f, reach(f, orbit));
      if (!visible) continue;
      const [[x, y], [u, v]] = visible.map((h) => [f.x(h), f.y(h)]);
      const count = Math.ceil(Math.hypot(u - x, v - y) / 8);
      for (let k = 0; k <= count; k++) labels.keepFree(x + (k / count) * (u - x), y + (k / count) * (v - y), 4);
    }
  }

  /** A segment cut to the window, or null. */
  function cut(f, [a, b]) {
    let [low, high] = [0, 1];
    for (const i of [0, 1]) {
      const d = b[i] - a[i];
      if (Math.abs(d) < 1e-12) continue;
      const [u, v] = [(f.low - a[i]) / d, (f.high - a[i]) / d];
      low = Math.max(low, Math.min(u, v));
      high = Math.min(high, Math.max(u, v));
    }
    return high > low ? [low, high].map((t) => a.map((x, i) => x + t * (b[i] - x))) : null;
  }

  /** Fixed points and 2-cycles that stand alone. */
  function singles(f, { points, cycles }, labels) {
    const shapes = [];
    for (const orbit of cycles.filter((o) => o.dimension === 0)) {
      shapes.push(`<path class="cycle-link" d="${line(f, orbit.points)}"/>`);
      for (const h of orbit.points) shapes.push(single(f, labels, h, `cycle ${orbit.stability}`, "2-cycle"));
    }
    for (const orbit of points.filter((o) => o.dimension === 0)) {
      const kind = orbit.saddle ? "saddle" : orbit.stability;
      shapes.push(single(f, labels, orbit.points[0], kind, kind));
    }
    return shapes.join("");
  }

  function single(f, labels, h, kind, name) {
    if (!inside(f, h)) return outside(f, labels, h, kind, name);
    const [x, y] = [f.x(h), f.y(h)];
    labels.keepFree(x, y, 8);
    labels.put(name, "mark-name", around(x, y, 17), true);
    return `<g transform="translate(${round(x)} ${round(y)})">${glyph(kind)}</g>`;
  }

  /** A wedge at the edge of the window that points to what lies beyond. */
  function outside(f, labels, h, kind, name) {
    const middle = f.size * 0.35;
    const direction = [h[0] - middle, h[1] - middle];
    const reach = (f.high - f.low) / 2 - 11 / f.scale;
    const share = reach / Math.max(Math.abs(direction[0]), Math.abs(direction[1]));
    const edge = direction.map((x) => middle + x * share);
    const [x, y] = [f.x(edge), f.y(edge)];
    const turn = (Math.atan2(-direction[1], direction[0]) * 180) / Math.PI;
    labels.keepFree(x, y, 8);
    labels.put(`${name} (${h.map(show).join(", ")})`, "mark-name", around(x, y, 17), true);
    const move = `translate(${round(x)} ${round(y)}) rotate(${round(turn)})`;
    return `<path class="beyond ${kind}" d="M9 0L-6 -6V6Z" transform="${move}"/>`;
  }

  /** The mark of a kind of orbit, around 0, 0: also for the legend. */
  function glyph(kind) {
    if (kind.startsWith("cycle")) return `<rect class="mark ${kind}" x="-6" y="-6" width="12" height="12"/>`;
    const ring = `<circle class="mark ${kind}" r="6.5"/>`;
    if (kind === "saddle") return `${ring}<path class="mark-fill" d="M0 -6.5A6.5 6.5 0 0 1 0 6.5Z"/>`;
    if (kind === "neutral") return `${ring}<circle class="mark-fill" r="2.5"/>`;
    return ring;
  }

  return { sets, singles, keepFree, glyph };
})();
