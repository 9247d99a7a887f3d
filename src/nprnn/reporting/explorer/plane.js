"use strict";
// The plane of a reading as a string of SVG. Colours are the style sheet's; every distinction is also one of shape,
// dash or hatching.
const Plane = (() => {
  const { length, step, trajectory } = Systems;
  const { show, units } = Words;
  const { Labels, round, frame, at, line, guide, polygon, inside, across, ray, around } = Frame;
  const SUBSCRIPTS = ["₁", "₂"];

  /** The plane of a reading.
   *  view: {reading, width, size, system, other: [{name, direction}], points, cycles, path, steps, shown, cross}. */
  function draw(view) {
    const f = frame(view.width, view.size);
    const labels = new Labels(f);
    const name = view.reading;
    const letter = name === "paper" ? "a" : "h";
    const found = Marks.sets(f, view, labels) + Marks.singles(f, view, labels);
    const path = chosen(f, view, labels);
    const quadrant = f.corners.map((corner) => corner.map((x) => Math.max(0, x)));
    const layers = [
      defs(name),
      regionShapes(f, view),
      `<path class="veil" d="${polygon(f, f.corners)}${polygon(f, quadrant)}"/>`,
      axes(f, letter, labels),
      arrows(f, view.system),
      others(f, view, labels),
      starts(f, view),
      boundaries(f, view, labels),
      path, found,
      cross(f, view),
    ];
    Marks.keepFree(f, view, labels);
    regionNames(f, view, labels);
    const [side, edge] = [f.width, f.width - 1];
    return `<svg viewBox="0 0 ${side} ${side}" width="${side}" height="${side}" aria-hidden="true">` +
      `${layers.join("")}${labels.text}<rect class="frame" x=".5" y=".5" width="${edge}" height="${edge}"/></svg>`;
  }

  // Hatching runs the way in which a region is flattened: along the axis of the unit that stays on.
  function defs(name) {
    const pattern = (id, size, kind, d) =>
      `<pattern id="${name}-${id}" width="${size}" height="${size}" patternUnits="userSpaceOnUse">` +
      `<path class="${kind}" d="${d}"/></pattern>`;
    return `<defs>${pattern("first", 11, "hatch", "M0 5.5H11")}${pattern("second", 11, "hatch", "M5.5 0V11")}` +
      `${pattern("none", 11, "hatch", "M0 5.5H11M5.5 0V11")}${pattern("cone", 22, "speck", "M5 5h0M16 16h0")}</defs>`;
  }

  function regionCorners(f, { weight, drive }, on) {
    return on.reduce((corners, open, i) =>
      Orbits.clip(corners, weight[i].map((x) => (open ? x : -x)), open ? drive[i] - 1e-12 : -drive[i]), f.corners);
  }

  function regionShapes(f, { reading, system }) {
    const fill = ([first, second]) => (first ? "first" : second ? "second" : "none");
    return Systems.regions(system).regions.filter(({ on }) => !(on[0] && on[1])).map(({ on }) =>
      `<path fill="url(#${reading}-${fill(on)})" d="${polygon(f, regionCorners(f, system, on))}"/>`).join("");
  }

  function regionNames(f, { system }, labels) {
    for (const { on } of Systems.regions(system).regions) {
      const whole = regionCorners(f, system, on);
      // Where states are, if the region has a share there.
      const states = [[1, 0], [0, 1]].reduce((corners, axis) => Orbits.clip(corners, axis, 0), whole);
      const corners = area(states) > 0.02 * (f.high - f.low) ** 2 ? states : whole;
      if (area(corners) < 0.004 * (f.high - f.low) ** 2) continue;
      const centre = [0, 1].map((i) => corners.reduce((sum, c) => sum + c[i] / corners.length, 0));
      const towards = [0, 0.35, 0.6].flatMap((share) =>
        corners.map((c) => [0, 1].map((i) => centre[i] + share * (c[i] - centre[i]))));
      labels.put(units(on), "region", towards.map((h) => [f.x(h), f.y(h)]));
    }
  }

  function area(corners) {
    return Math.abs(corners.reduce((sum, a, i) => {
      const b = corners[(i + 1) % corners.length];
      return sum + a[0] * b[1] - a[1] * b[0];
    }, 0)) / 2;
  }

  function axes(f, letter, labels) {
    const [x, y] = [f.x([0, 0]), f.y([0, 0])];
    labels.put(`${letter}₁`, "axis", [[f.width - 12, y + 13]], true);
    labels.put(`${letter}₂`, "axis", [[x - 13, 12]], true);
    const half = f.size / 2;
    labels.put(show(half), "tick", [[f.x([half, 0]), y + 14]]);
    labels.put(show(half), "tick", [[x - 16, f.y([0, half])]]);
    labels.put("0", "tick", [[x - 9, y + 12]]);
    const ticks = `M${at(f, [half, 0])}v5M${at(f, [0, half])}h-5`;
    return `<path class="axis-line" d="M0 ${round(y)}H${f.width}M${round(x)} 0V${f.width}${ticks}"/>`;
  }

  /** From each point of a grid towards where the step goes; a dot where it stays. */
  function arrows(f, system) {
    const count = Math.max(9, Math.round(f.width / 30));
    const cell = (f.high - f.low) / count;
    let shafts = "";
    let rests = "";
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < count; j++) {
        const h = [f.low + (i + 0.5) * cell, f.low + (j + 0.5) * cell];
        const moved = step(system, h).map((x, k) => x - h[k]);
        const size = length(moved);
        if (size < 1e-9 * f.size) {
          rests += `M${at(f, h)}h0`;
          continue;
        }
        const shaft = Math.min(0.8 * cell * f.scale, Math.max(4, Math.sqrt(size / f.size) * cell * f.scale));
        const [ex, ey] = [moved[0] / size, -moved[1] / size];
        const [x, y] = [f.x(h) - (ex * shaft) / 2, f.y(h) - (ey * shaft) / 2];
        const head = (turn) => `${round(-4 * ex + turn * 2.5 * ey)} ${round(-4 * ey - turn * 2.5 * ex)}`;
        const tip = `${round(x + ex * shaft)} ${round(y + ey * shaft)}`;
        shafts += `M${round(x)} ${round(y)}L${tip}l${head(1)}M${tip}l${head(-1)}`;
      }
    }
    return `<path class="arrows" d="${shafts}"/><path class="rests" d="${rests}"/>`;
  }

  /** What the other reading's coordinates are here. */
  function others(f, { other }, labels) {
    return other.map(({ name, direction }) => {
      const end = ray(f, [0, 0], direction)[1];
      const inner = [0, 1].map((k) => direction[k] / length(direction));
      // As far out as the window allows, a little inside of its edge.
      const reach = Math.min(...[0, 1].map((k) =>
        (inner[k] > 1e-9 ? f.high / inner[k] : inner[k] < -1e-9 ? f.low / inner[k] : Infinity)));
      const places = [0.93, 0.86, 0.78, 0.7].flatMap((share) => {
        const tip = inner.map((x) => x * reach * share);
        const [x, y] = [f.x(tip), f.y(tip)];
        return [[x - inner[1] * 14, y - inner[0] * 14], [x + inner[1] * 14, y + inner[0] * 14]];
      });
      labels.put(name, "other", places);
      return `<path class="other-line" d="${line(f, [[0, 0], end])}"/>` +
        `<path class="other-line back" d="${line(f, [[0, 0], end.map((x) => -x)])}"/>`;
    }).join("");
  }

  function boundaries(f, { system }, labels) {
    return Systems.regions(system).boundaries.map(({ unit, normal, offset }) => {
      const ends = across(f, normal, offset);
      if (ends.length < 2) return "";
      const size = length(normal);
      const places = [0.12, 0.88, 0.22, 0.78, 0.35, 0.65].flatMap((share) => {
        const h = ends[0].map((x, k) => x + share * (ends[1][k] - x));
        const [dx, dy] = [(20 * normal[0]) / size, (14 * normal[1]) / size];
        return [[f.x(h) + dx, f.y(h) - dy], [f.x(h) - dx, f.y(h) + dy]];
      });
      labels.put(`z${SUBSCRIPTS[unit]} = 0`, "boundary", places);
      return `<path class="boundary unit-${unit + 1}" d="${line(f, ends)}"/>`;
    }).join("");
  }

  /** Paths from a grid of starts among the states. */
  function starts(f, { system, steps }) {
    let lines = "";
    let dots = "";
    for (let i = 0; i < 5; i++) {
      for (let j = 0; j < 5; j++) {
        const start = [(0.08 + 0.21 * i) * f.size, (0.08 + 0.21 * j) * f.size];
        const { states } = trajectory(system, start, Math.min(steps, 60));
        lines += guide(f, states);
        dots += states.slice(0, 12).filter((h) => inside(f, h)).map((h) => `M${at(f, h)}h0`).join("");
      }
    }
    return `<path class="grid-path" d="${lines}"/><path class="grid-dots" d="${dots}"/>`;
  }

  function chosen(f, { path, shown }, labels) {
    const states = path.states.slice(0, shown + 1);
    const start = states[0];
    const dots = states.slice(1).filter((h) => inside(f, h)).map((h) => `M${at(f, h)}h0`).join("");
    let mark = "";
    if (inside(f, start)) {
      const [x, y] = [f.x(start), f.y(start)];
      labels.keepFree(x, y, 7);
      mark = `<path class="start" d="M${round(x - 6)} ${round(y - 6)}l12 12m0 -12l-12 12"/>`;
      labels.put("start", "start-name", around(x, y, 16), true);
    }
    const d = guide(f, states);
    return `<path class="path-halo" d="${d}"/><path class="path" d="${d}"/>` +
      `<path class="path-dots" d="${dots}"/>${mark}`;
  }

  function cross(f, { cross }) {
    if (!cross) return "";
    const [x, y] = [f.x(cross), f.y(cross)].map(round);
    return `<path class="cross" d="M${x - 14} ${y}h10M${x + 4} ${y}h10M${x} ${y - 14}v10M${x} ${y + 4}v10"/>`;
  }

  return { draw };
})();
