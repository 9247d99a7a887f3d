"use strict";
// What is found, in words and numbers.
const Words = (() => {
  const { step, destination } = Systems;

  /** A number as text, three decimals at most. */
  function show(x) {
    if (!Number.isFinite(x)) return x > 0 ? "∞" : x < 0 ? "−∞" : "–";
    const size = Math.abs(x);
    const text = size >= 1e5 || (size > 0 && size < 5e-4) ? x.toExponential(1) : String(Number(x.toFixed(3)));
    return text.replace("e+", "e").replace(/-/g, "−");
  }

  const units = (on) => (on[0] && on[1] ? "1 and 2 on" : on[0] ? "only 1 on" : on[1] ? "only 2 on" : "none on");

  const isFar = (corner) => corner.some((x) => Math.abs(x) > 1e5);
  const point = (h) => `(${h.map(show).join(", ")})`;
  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  /** What an orbit of period 1 or 2 is: "saddle", "stable 2-cycle", "neutral ray" and so on. */
  function kind(orbit, period) {
    const single = period === 2 ? "2-cycle" : "point";
    if (orbit.dimension === 2) {
      const shape = orbit.corners.some(isFar) ? "cone" : "patch";
      return `${orbit.stability} ${period === 2 ? `${shape} of 2-cycles` : shape}`;
    }
    if (orbit.dimension === 1) {
      const shape = orbit.ends.every(Boolean) ? "segment" : orbit.ends.some(Boolean) ? "ray" : "line";
      return `${orbit.stability} ${period === 2 ? `${shape} of 2-cycles` : shape}`;
    }
    return orbit.saddle && period === 1 ? "saddle" : `${orbit.stability} ${single}`;
  }

  /** All that is found in a reading, in a sentence. */
  function verdict({ points, cycles, far }) {
    const said = [];
    const list = (orbits, period) => {
      const kinds = new Map();
      for (const orbit of orbits) {
        const name = kind(orbit, period);
        kinds.set(name, [...(kinds.get(name) || []), orbit]);
      }
      for (const [name, group] of kinds) {
        const single = group[0].dimension === 0;
        const places = group.map((o) => o.points.map(point).join(" ⇄ ")).join(", ");
        const fixed = name.endsWith("point") ? name.replace("point", "fixed point") : name;
        const noun = group.length > 1 ? `${group.length} ${fixed}s` : fixed;
        const of = !single && period === 1 ? `${noun} of fixed points` : noun;
        said.push(single ? `${of} ${places}` : of);
      }
    };
    list(points, 1);
    list(cycles, 2);
    if (!points.length) said.unshift("no fixed point");
    if (far > 1 + 1e-7) said.push("some starts diverge");
    return `${capital(said.join("; "))}.`;
  }

  /** Where a path ends. */
  function ending(y, start) {
    const end = destination(y, start);
    // It comes nearer for ever: what is left of a decay is 0.
    end.at = end.at.map((x) => (Math.abs(x) < 1e-7 ? 0 : x));
    if (end.kind === "point") return `rests at ${point(end.at)}`;
    if (end.kind === "cycle") return `2-cycle ${point(end.at)} ⇄ ${point(step(y, end.at))}`;
    if (end.kind === "grows") return "grows by the same amount at each step";
    if (end.kind === "diverges") return "diverges";
    return "not at rest after 4,000 steps";
  }

  /** Where an orbit or a set of them lies. */
  function place(orbit) {
    if (orbit.dimension === 2) {
      const corners = orbit.corners.filter((c) => !isFar(c)).map((c) => c.map((x) => (Math.abs(x) < 1e-8 ? 0 : x)));
      return `corner${corners.length === 1 ? "" : "s"} ${corners.map(point).join(", ")}`;
    }
    if (orbit.dimension === 1) {
      const ends = orbit.ends.filter(Boolean);
      if (ends.length === 2) return `${point(ends[0])} to ${point(ends[1])}`;
      const sign = orbit.ends[0] ? 1 : -1;
      return `from ${point(ends[0] || orbit.points[0])} along ${point(orbit.direction.map((x) => sign * x))}`;
    }
    return orbit.points.map(point).join(" ⇄ ");
  }

  const signs = (v) => (v.every((x) => x >= -1e-12) || v.every((x) => x <= 1e-12) ? "one sign" : "mixed signs");

  function gradientWords({ logs, perStep }) {
    const gone = logs.findIndex((x) => x === -Infinity);
    return gone < 0 ? show(perStep) : `0, gone at step ${gone}`;
  }

  /** The regions that a path goes through, in turn. */
  function itinerary(on) {
    const parts = [];
    for (const mask of on) {
      const name = units(mask);
      if (parts.length && parts[parts.length - 1][0] === name) parts[parts.length - 1][1]++;
      else parts.push([name, 1]);
    }
    const told = parts.slice(0, 4).map(([name, count]) => (count > 1 ? `${name} ×${count}` : name)).join(", ");
    return parts.length > 4 ? `${told}, …` : told;
  }

  return { show, units, point, kind, verdict, ending, place, signs, gradientWords, itinerary };
})();
