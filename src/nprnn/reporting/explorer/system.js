"use strict";
// The two-unit network as numbers: pure functions, checked against nprnn.dynamics by tests/test_explorer.py.
//
// A state s is what the sliders say: l1, l2 (eigenvalues), angle (of v1), between (from v1 to v2), b1, b2, u.
// A system is { weight: W, drive: d }: the map h to max(0, W h + d), as nprnn.dynamics.System under a constant input.
const Systems = (() => {
  const READINGS = ["paper", "network"];

  // Degrees, so that right angles are exact: rounding must not decide whether a unit is on.
  function cosine(degrees) {
    const x = Math.abs(degrees) % 360;
    if (x > 180) return cosine(360 - x);
    if (x > 90) return -cosine(180 - x);
    return x > 45 ? Math.sin(((90 - x) * Math.PI) / 180) : Math.cos((x * Math.PI) / 180);
  }
  const sine = (degrees) => cosine(degrees - 90);
  const clean = (x, size) => (Math.abs(x) <= 1e-14 * size ? 0 : x);
  const dot = (p, q) => p[0] * q[0] + p[1] * q[1];
  const apply = (m, v) => [dot(m[0], v), dot(m[1], v)];
  const length = (v) => Math.hypot(v[0], v[1]);

  /** The unit vectors v1 and v2. */
  const eigenvectors = (s) => [s.angle, s.angle + s.between].map((d) => [cosine(d), sine(d)]);

  /** a = V^-1 h: a state by its parts along v1 and v2. */
  function toEigen(s, h) {
    const [v1, v2] = eigenvectors(s);
    const det = sine(s.between);
    const size = length(h) / det;
    return [clean((v2[1] * h[0] - v2[0] * h[1]) / det, size), clean((v1[0] * h[1] - v1[1] * h[0]) / det, size)];
  }

  /** h = V a. */
  function toUnits(s, a) {
    const [v1, v2] = eigenvectors(s);
    const size = length(a);
    return [0, 1].map((i) => clean(a[0] * v1[i] + a[1] * v2[i], size));
  }

  /** W = V diag(l1, l2) V^-1, as l2 I + (l1 - l2) v1 w1: exact where the eigenvalues are equal. */
  function recurrent(s) {
    const [v1, v2] = eigenvectors(s);
    const det = sine(s.between);
    const dual = [v2[1] / det, -v2[0] / det];
    const size = Math.max(Math.abs(s.l1), Math.abs(s.l2)) / det;
    return v1.map((x, i) => dual.map((y, j) => clean((i === j ? s.l2 : 0) + (s.l1 - s.l2) * x * y, size)));
  }

  /** The system of a reading: "paper" clips a = V^-1 h (Eq. 8), "network" clips h. */
  function system(s, reading) {
    const drive = [s.b1 + s.u, s.b2 + s.u];
    if (reading === "network") return { weight: recurrent(s), drive };
    if (reading === "paper") return { weight: [[s.l1, 0], [0, s.l2]], drive: toEigen(s, drive) };
    throw new Error(`a reading is one of ${READINGS.join(", ")}, not ${reading}`);
  }

  /** What a step puts before the ReLU: z = W h + d. */
  const before = ({ weight, drive }, h) => apply(weight, h).map((z, i) => z + drive[i]);

  /** One step: max(0, W h + d). */
  const step = (system, h) => before(system, h).map((z) => Math.max(0, z));

  /** The states h_0 ... h_T and, for each step, which units are on. */
  function trajectory(system, start, steps) {
    const states = [start.slice()];
    const on = [];
    for (let t = 0; t < steps; t++) {
      const z = before(system, states[t]);
      // At exactly 0 the slope counts as 0, as in torch.
      on.push(z.map((x) => x > 0));
      states.push(z.map((x) => Math.max(0, x)));
    }
    return { states, on };
  }

  /** log ||dh_t/dh_0|| (spectral norm) for t = 0 ... T along a path, and its growth per step; -Infinity and 0 where no
   *  gradient is left. Rescaled at every step: no number of steps underflows. */
  function gradient(system, path) {
    let product = [[1, 0], [0, 1]];
    const logs = [0];
    let carried = 0;
    for (const on of path.on) {
      const next = system.weight.map((row, i) =>
        [0, 1].map((j) => (on[i] ? row[0] * product[0][j] + row[1] * product[1][j] : 0)));
      const size = norm(next);
      carried += Math.log(size);
      logs.push(carried);
      product = size > 0 ? next.map((row) => row.map((x) => x / size)) : next;
    }
    const steps = path.on.length;
    return { logs, perStep: steps ? Math.exp(logs[steps] / steps) : NaN };
  }

  /** The largest singular value. */
  function norm([[a, b], [c, d]]) {
    return (Math.hypot(a + d, b - c) + Math.hypot(a - d, b + c)) / 2;
  }

  /** Eigenvalues by falling modulus, of a matrix whose eigenvalues are real (all products here are such). */
  function eigenvalues([[a, b], [c, d]]) {
    if (b === 0 || c === 0) return [a, d].sort((x, y) => Math.abs(y) - Math.abs(x));
    const mean = (a + d) / 2;
    const half = Math.sqrt(Math.max(0, ((a - d) / 2) ** 2 + b * c));
    const far = mean < 0 ? mean - half : mean + half;
    // The product of both is the determinant: no cancellation.
    return [far, far === 0 ? 0 : (a * d - b * c) / far];
  }

  /** The four regions of the step, those with most units on first: which are on, and the eigenvalues of D W; and where
   *  they meet: the lines normal . h + offset = 0, on one side of which a unit is on. */
  function regions(system) {
    const masks = [[true, true], [true, false], [false, true], [false, false]];
    return {
      regions: masks.map((on) => ({
        on,
        multipliers: eigenvalues(system.weight.map((row, i) => (on[i] ? row : [0, 0]))),
      })),
      boundaries: system.weight.map((normal, unit) => ({ unit, normal, offset: system.drive[unit] })),
    };
  }

  /** Where a start ends up: {kind: "point" | "cycle" | "grows" | "diverges" | "open", at}. */
  function destination(system, start) {
    let h = start;
    for (let t = 0; t < 4000; t++) {
      const one = step(system, h);
      const two = step(system, one);
      const size = 1 + length(h);
      const moved = length([one[0] - h[0], one[1] - h[1]]);
      if (!(size < 1e12)) return { kind: "diverges", at: h };
      if (moved <= 1e-10 * size) return { kind: "point", at: one };
      if (length([two[0] - h[0], two[1] - h[1]]) <= 1e-10 * size) return { kind: "cycle", at: h };
      // An eigenvalue 1 with a drive along it: the same amount at each step, for ever.
      const change = length([two[0] - 2 * one[0] + h[0], two[1] - 2 * one[1] + h[1]]);
      if (t > 1000 && change <= 1e-10 * moved) return { kind: "grows", at: one };
      h = one;
    }
    return { kind: "open", at: h };
  }

  return {
    READINGS, dot, apply, length, norm, eigenvalues, eigenvectors, toEigen, toUnits, system, before, step, trajectory,
    gradient, regions, destination,
  };
})();
