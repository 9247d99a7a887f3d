"use strict";
// A square window on the plane: where states are in it, lines and polygons as paths, and labels that keep out of each
// other's way.
const Frame = (() => {
  const { dot, length } = Systems;
  const MARGIN = 0.3; // share of the window's size shown below 0, where the other regions often begin

  const round = (x) => Math.round(x * 10) / 10;

  /** Where things are: pixels of a square window [-0.3 size, size] in both coordinates. */
  function frame(width, size) {
    const low = -MARGIN * size;
    const scale = width / (size - low);
    return {
      width, size, low, high: size, scale,
      x: (h) => (h[0] - low) * scale,
      y: (h) => width - (h[1] - low) * scale,
      state: (x, y) => [x / scale + low, (width - y) / scale + low],
      corners: [[low, low], [size, low], [size, size], [low, size]],
    };
  }

  // Beyond this no renderer draws reliably; what is so far out is cut off by the window anyway.
  const near = (x) => Math.max(-1e6, Math.min(1e6, x));
  const at = (f, h) => `${round(near(f.x(h)))} ${round(near(f.y(h)))}`;
  const line = (f, points) => (points.length ? `M${points.map((h) => at(f, h)).join("L")}` : "");

  /** A path's line, which only guides the eye: jumps to and fro are drawn a few times, not over and over. */
  function guide(f, states) {
    let d = line(f, states.slice(0, 1));
    for (let t = 1; t < states.length; t++) {
      const back = t > 6 && (states[t][0] - states[t - 1][0]) * (states[t - 1][0] - states[t - 2][0])
        + (states[t][1] - states[t - 1][1]) * (states[t - 1][1] - states[t - 2][1]) < 0;
      d += `${back ? "M" : "L"}${at(f, states[t])}`;
    }
    return d;
  }
  const polygon = (f, corners) => (corners.length > 2 ? `${line(f, corners)}Z` : "");
  const inside = (f, h) => h.every((x) => x >= f.low && x <= f.high);

  /** The part of the line normal . h + offset = 0 that is in the window: two points, or none. */
  function across(f, normal, offset) {
    const points = [];
    f.corners.forEach((a, i) => {
      const b = f.corners[(i + 1) % 4];
      const u = dot(normal, a) + offset;
      const v = dot(normal, b) + offset;
      if ((u < 0) !== (v < 0)) points.push(a.map((c, k) => c + (u / (u - v)) * (b[k] - c)));
    });
    return points.slice(0, 2);
  }

  /** A line from one state through another, as far as the window. */
  function ray(f, from, through) {
    const direction = [through[0] - from[0], through[1] - from[1]];
    const size = length(direction);
    return [from, from.map((x, i) => x + (direction[i] / size) * 4 * (f.high - f.low))];
  }

  /** Labels one after another, each at the first of its places that is free; where none is, it is left out, or, if it
   *  must be there, at its first. */
  class Labels {
    constructor(f) {
      this.f = f;
      this.boxes = [];
      this.text = "";
    }

    keepFree(x, y, radius) {
      this.boxes.push([x - radius, y - radius, x + radius, y + radius]);
    }

    put(text, kind, places, must = false) {
      const half = text.length * 3.6 + 3;
      const free = places.map(([x, y]) => [
        Math.max(half, Math.min(this.f.width - half, x)), Math.max(10, Math.min(this.f.width - 8, y))])
        .find(([x, y]) => this.boxes.every((b) => x + half < b[0] || x - half > b[2] || y + 8 < b[1] || y - 9 > b[3]));
      if (!free && !must) return;
      const [x, y] = free || places[0];
      this.boxes.push([x - half, y - 9, x + half, y + 8]);
      this.text += `<text class="${kind}" x="${round(x)}" y="${round(y + 4)}">${text}</text>`;
    }
  }

  const around = (x, y, gap) => [
    [x, y - gap], [x, y + gap], [x + gap * 3, y], [x - gap * 3, y], [x + gap * 2.5, y - gap], [x - gap * 2.5, y + gap],
    [x + gap * 2.5, y + gap], [x - gap * 2.5, y - gap], [x, y - 2 * gap], [x, y + 2 * gap]];

  return { Labels, round, frame, at, line, guide, polygon, inside, across, ray, around };
})();
