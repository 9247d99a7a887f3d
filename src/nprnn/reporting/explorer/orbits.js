"use strict";
// Fixed points and 2-cycles of h to max(0, W h + d), all of them, as nprnn.dynamics.find_cycles finds them: while the
// same units stay on, the map is affine, so each word of masks has one orbit, none, or a whole set (dimension 1 or 2).
const Orbits = (() => {
  const { dot, apply, length, eigenvalues, before, regions } = Systems;
  const TOLERANCE = 1e-10; // relative; as in nprnn.dynamics
  const NEUTRAL = 1e-7;
  const FAR = 1e6; // stands for infinity where a polygon is cut

  const fixedPoints = (system) => orbits(system, 1);
  const cycles = (system) => orbits(system, 2);

  /** Orbits of a period 1 or 2: those with most units on first.
   *  points: the states in turn (of a set: one from its interior); masks: which units are on in the step that leaves
   *  each; multipliers: of the product of D W; dimension, direction, ends, corners: of a set; border: how many z are
   *  exactly 0; stability: "stable", "neutral" or "unstable"; saddle: unstable, yet some direction comes in. */
  function orbits(system, period) {
    const found = [];
    for (const word of words(system, period)) {
      const { p, q } = compose(word, system);
      const m = [[1 - p[0][0], -p[0][1]], [-p[1][0], 1 - p[1][1]]];
      const repeats = period === 2 && same(word[0], word[1]);
      const nullity = nullSpace(m);
      let orbit = null;
      if (nullity === 0) {
        if (repeats) continue; // its solution is a fixed point
        const points = follow(solve(m, q), word, system);
        if (points) orbit = describe(system, word, points, { dimension: 0 });
        if (orbit && orbit.border && covered(system, orbit, found)) orbit = null;
      } else {
        if (repeats && nullSpace(minus(compose([word[0]], system).p)) === nullity) continue; // all are fixed points
        orbit = (nullity === 1 ? onLine : onPlane)(system, word, m, q);
        if (orbit && covered(system, orbit, found)) orbit = null;
      }
      if (orbit) found.push(orbit);
    }
    return found;
  }

  function words(system, period) {
    const masks = regions(system).regions.map((region) => region.on);
    const list = period === 1
      ? masks.map((on) => [on])
      : masks.flatMap((first, i) => masks.slice(i).map((second) => [first, second]));
    const units = (word) => word.flat().filter(Boolean).length;
    return list.sort((a, b) => units(b) - units(a));
  }

  const same = (a, b) => a[0] === b[0] && a[1] === b[1];
  const minus = (p) => [[1 - p[0][0], -p[0][1]], [-p[1][0], 1 - p[1][1]]];

  /** The affine map of the word, h to p h + q. */
  function compose(word, { weight, drive }) {
    let p = [[1, 0], [0, 1]];
    let q = [0, 0];
    for (const on of word) {
      const columns = [0, 1].map((j) => apply(weight, [p[0][j], p[1][j]]));
      p = on.map((open, i) => (open ? [columns[0][i], columns[1][i]] : [0, 0]));
      const moved = apply(weight, q);
      q = on.map((open, i) => (open ? moved[i] + drive[i] : 0));
    }
    return { p, q };
  }

  /** How many singular values count as 0. */
  function nullSpace([[a, b], [c, d]]) {
    const large = Systems.norm([[a, b], [c, d]]);
    const small = large > 0 ? Math.abs(a * d - b * c) / large : 0;
    const limit = TOLERANCE * Math.max(1, large);
    return (large <= limit ? 1 : 0) + (small <= limit ? 1 : 0);
  }

  function solve([[a, b], [c, d]], q) {
    const det = a * d - b * c;
    return [(d * q[0] - b * q[1]) / det, (a * q[1] - c * q[0]) / det];
  }

  const isOn = (z) => {
    const small = TOLERANCE * (1 + Math.max(Math.abs(z[0]), Math.abs(z[1])));
    return z.map((x) => x > small);
  };

  /** The states from h on if their masks are those of the word, else null. */
  function follow(h, word, system) {
    const points = [];
    for (const on of word) {
      const z = before(system, h);
      if (!same(isOn(z), on)) return null;
      points.push(h);
      h = z.map((x, i) => (on[i] ? x : 0));
    }
    // Units that were off are 0, not rounding.
    const last = word[word.length - 1];
    points[0] = points[0].map((x, i) => (last[i] ? x : 0));
    return points;
  }

  /** What each step puts before the ReLU on the way from h, if just the word's units are on; a drive of 0 carries
   *  directions. */
  function along(h, word, weight, drive) {
    const all = [];
    for (const on of word) {
      const z = apply(weight, h).map((x, i) => x + drive[i]);
      all.push(z);
      h = z.map((x, i) => (on[i] ? x : 0));
    }
    return all;
  }

  /** A line of solutions, cut to where the masks are those of the word. */
  function onLine(system, word, m, q) {
    const row = length(m[0]) >= length(m[1]) ? 0 : 1;
    const r = m[row];
    const direction = [-r[1] / length(r), r[0] / length(r)];
    const least = r.map((x) => (x * q[row]) / dot(r, r));
    const error = apply(m, least).map((x, i) => x - q[i]);
    if (length(error) > TOLERANCE * (1 + length(q) + length(least))) return null;
    const offsets = along(least, word, system.weight, system.drive);
    const slopes = along(direction, word, system.weight, [0, 0]);
    const small = TOLERANCE * (1 + Math.max(...offsets.flat().map(Math.abs)));
    let low = -Infinity;
    let high = Infinity;
    for (let k = 0; k < word.length; k++) {
      for (const i of [0, 1]) {
        const sign = word[k][i] ? 1 : -1;
        const offset = sign * offsets[k][i];
        const slope = sign * slopes[k][i];
        if (Math.abs(slope) <= TOLERANCE) {
          if (offset < -small || (word[k][i] && offset <= small)) return null;
        } else if (slope > 0) low = Math.max(low, -offset / slope);
        else high = Math.min(high, -offset / slope);
      }
    }
    if (!(high - low > TOLERANCE * (1 + Math.min(Math.abs(low), Math.abs(high))))) return null;
    // Not the middle: of a set of 2-cycles that may be a fixed point.
    const inside = Number.isFinite(low) && Number.isFinite(high) ? low + 0.75 * (high - low)
      : Number.isFinite(low) ? low + 1 : Number.isFinite(high) ? high - 1 : 0.75;
    const at = (t) => least.map((x, i) => x + t * direction[i]).map((x) => (Math.abs(x) <= small ? 0 : x));
    const points = follow(at(inside), word, system);
    if (!points) return null;
    const ends = [low, high].map((t) => (Number.isFinite(t) ? at(t) : null));
    return describe(system, word, points, { dimension: 1, direction, ends });
  }

  /** The whole plane solves the equation: cut to where the masks are those of the word. */
  function onPlane(system, word, m, q) {
    if (length(q) > TOLERANCE * (1 + length(q))) return null;
    let corners = [[-FAR, -FAR], [FAR, -FAR], [FAR, FAR], [-FAR, FAR]];
    const offsets = along([0, 0], word, system.weight, system.drive);
    const rows = [0, 1].map((j) => along([1 - j, j], word, system.weight, [0, 0]));
    for (let k = 0; k < word.length; k++) {
      for (const i of [0, 1]) {
        const sign = word[k][i] ? 1 : -1;
        corners = clip(corners, [sign * rows[0][k][i], sign * rows[1][k][i]], sign * offsets[k][i]);
      }
    }
    if (corners.length < 3) return null;
    // Near the corner that is nearest to the origin, and on no line of symmetry.
    const near = corners.reduce((a, b) => (length(a) <= length(b) ? a : b));
    const inside = corners.map((c) => [c[0] - near[0], c[1] - near[1]]).filter((c) => length(c) > 0)
      .map((c) => c.map((x) => x / Math.max(1, length(c))))
      .reduce((sum, c, k) => [sum[0] + c[0] / (k + 2), sum[1] + c[1] / (k + 2)], [0, 0]);
    const points = follow([near[0] + inside[0], near[1] + inside[1]], word, system);
    return points && describe(system, word, points, { dimension: 2, corners });
  }

  /** A convex polygon, cut to where normal . h + offset >= 0. */
  function clip(corners, normal, offset) {
    const kept = [];
    corners.forEach((a, i) => {
      const b = corners[(i + 1) % corners.length];
      const x = dot(normal, a) + offset;
      const y = dot(normal, b) + offset;
      if (x >= 0) kept.push(a);
      if ((x > 0 && y < 0) || (x < 0 && y > 0)) kept.push(a.map((c, k) => c + (x / (x - y)) * (b[k] - c)));
    });
    return kept;
  }

  /** Whether an orbit or set bounds a larger set, and so is part of it. */
  function covered(system, orbit, others) {
    return others.some((other) => {
      if (other.dimension <= orbit.dimension) return false;
      return other.masks.some((_, k) => {
        const larger = other.masks.slice(k).concat(other.masks.slice(0, k));
        if (orbit.masks.some((on, t) => on.some((open, i) => open && !larger[t][i]))) return false;
        const { p, q } = compose(larger, system);
        const error = apply(minus(p), orbit.points[0]).map((x, i) => x - q[i]);
        const small = TOLERANCE * (1 + length(orbit.points[0]) + length(q));
        return length(error) <= small && (!orbit.direction || length(apply(minus(p), orbit.direction)) <= small);
      });
    });
  }

  function describe(system, word, points, set) {
    const multipliers = eigenvalues(compose(word, system).p);
    const z = points.map((h) => before(system, h));
    const size = 1 + Math.max(...z.flat().map(Math.abs));
    const at = word.map((on, k) => on.map((open, i) => !open && Math.abs(z[k][i]) <= TOLERANCE * size));
    const border = at.flat().filter(Boolean).length;
    let growth = Math.abs(multipliers[0]);
    let least = Math.abs(multipliers[1]);
    if (border) ({ growth, least } = rates(system.weight, word, at));
    if (set.dimension) growth = Math.max(1, growth);
    const stability = growth > 1 + NEUTRAL ? "unstable" : growth < 1 - NEUTRAL ? "stable" : "neutral";
    const saddle = stability === "unstable" && set.dimension === 0 && least < 1 - NEUTRAL;
    return { points, masks: word, multipliers, border, growth, stability, saddle, ...set };
  }

  /** The largest and the least factor a turn by which a direction comes back to itself, where some z are exactly 0 and
   *  several regions meet: near such an orbit, v goes to D W v + C max(0, W v), C picking the units at 0. In between
   *  jumps onto the axes it turns directions in order, so what comes back comes back soon. */
  function rates(weight, masks, at) {
    const turn = (v) => masks.reduce((x, on, k) =>
      apply(weight, x).map((z, i) => (on[i] ? z : at[k][i] ? Math.max(0, z) : 0)), v);
    const starts = [...eigenrays(weight), ...Array.from({ length: 72 }, (_, k) => [
      Math.cos((k * Math.PI) / 36), Math.sin((k * Math.PI) / 36)])];
    let growth = 0;
    let least = Infinity;
    for (const start of starts) {
      let v = start;
      const past = [];
      const factors = [];
      for (let t = 0; t < 60; t++) {
        past.push(v);
        const moved = turn(v);
        const size = length(moved);
        if (size <= 1e-14) {
          least = 0;
          break;
        }
        factors.push(Math.log(size));
        v = moved.map((x) => x / size);
        const back = [1, 2, 3, 4].find((k) =>
          k <= past.length && Math.hypot(v[0] - past[past.length - k][0], v[1] - past[past.length - k][1]) <= 1e-9);
        if (back) {
          const rate = Math.exp(factors.slice(-back).reduce((a, b) => a + b, 0) / back);
          growth = Math.max(growth, rate);
          least = Math.min(least, rate);
          break;
        }
      }
    }
    return { growth, least };
  }

  /** Both directions of each eigenvector: rates are exact there. */
  function eigenrays([[a, b], [c, d]]) {
    return eigenvalues([[a, b], [c, d]]).flatMap((value) => {
      const rows = [[b, value - a], [value - d, c]];
      const v = length(rows[0]) >= length(rows[1]) ? rows[0] : rows[1];
      const size = length(v);
      return size > 1e-12 ? [v.map((x) => x / size), v.map((x) => -x / size)] : [];
    });
  }

  /** The largest growth a step of states so far out that the drive no longer counts: above 1, some starts diverge. */
  const growthFarOut = (system) => rates(system.weight, [[false, false]], [[true, true]]).growth;

  return { fixedPoints, cycles, clip, growthFarOut };
})();
