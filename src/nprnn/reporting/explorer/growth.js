"use strict";
// How the gradient grows or fades along a path: its norm over steps, on a logarithmic scale.
const Growth = (() => {
  const { show } = Words;
  const { round } = Frame;

  const tenTo = (power) =>
    (power === 0 ? "1" : power === 1 ? "10" : `10<tspan dy="-4" font-size="9">${show(power)}</tspan>`);

  /** log ||dh_t/dh_0|| over t for several paths: [{kind, name, logs}]. */
  function chart(curves, width, height) {
    const [left, right, top, bottom] = [46, 112, 12, 30];
    const steps = curves[0].logs.length - 1;
    const finite = curves.flatMap((c) => c.logs.filter(Number.isFinite)).map((x) => x / Math.LN10);
    const low = Math.max(-12, Math.floor(Math.min(-1, ...finite)));
    const high = Math.min(12, Math.ceil(Math.max(1, ...finite)));
    const x = (t) => round(left + (t / steps) * (width - left - right));
    const y = (power) => round(top + ((high - power) / (high - low)) * (height - top - bottom));
    const every = Math.max(1, Math.ceil((high - low) / 4));
    let text = "";
    for (let power = Math.ceil(low / every) * every; power <= high; power += every) {
      text += `<path class="${power === 0 ? "unit" : "grid"}" d="M${left} ${y(power)}H${width - right}"/>` +
        `<text class="tick end" x="${left - 7}" y="${y(power) + 4}">${tenTo(power)}</text>`;
    }
    for (const t of [0, Math.round(steps / 2), steps].filter((t, i, all) => all.indexOf(t) === i)) {
      text += `<text class="tick" x="${x(t)}" y="${height - 10}">${t === steps ? `t = ${t}` : t}</text>`;
    }
    const ends = [];
    for (const { kind, name, logs } of curves) {
      const powers = logs.map((log) => log / Math.LN10);
      const gone = powers.findIndex((p) => p === -Infinity);
      const kept = (gone < 0 ? powers : powers.slice(0, gone)).map((p) => Math.max(low, Math.min(high, p)));
      let d = `M${kept.map((p, t) => `${x(t)} ${y(p)}`).join("L")}`;
      let last = y(kept[kept.length - 1]);
      if (gone >= 0) {
        d += `L${x(gone)} ${y(low)}`;
        last = y(low);
        text += `<path class="gone ${kind}" d="M${x(gone) - 5} ${last - 5}l10 10m0 -10l-10 10"/>`;
      }
      // Where both end at one height, one below the other.
      let label = last;
      while (ends.some((other) => Math.abs(other - label) < 16)) label += label > height / 2 ? -16 : 16;
      ends.push(label);
      text += `<path class="curve ${kind}" d="${d}"/>` +
        `<text class="curve-name ${kind}" x="${width - right + 8}" y="${label + 4}">` +
        `${name}${gone >= 0 ? ": 0" : ""}</text>`;
    }
    return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" aria-hidden="true">${text}</svg>`;
  }

  return { chart };
})();
