"use strict";
// The page: sliders, presets, the address and the two planes show one state; everything drawn follows from it.
(() => {
  const { READINGS, system, toEigen, toUnits, trajectory, gradient, eigenvectors } = Systems;
  const { show, verdict } = Words;
  const { START, PRESETS } = Presets;
  const SIZES = [0.5, 1, 2, 3, 5, 10, 20, 50, 100];
  const NAMES = { paper: "paper", network: "network" };
  const sliders = [...document.querySelectorAll('input[type="range"]')];
  const byId = (id) => document.getElementById(id);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const narrow = matchMedia("(max-width: 46rem)");
  const defaults = { ...Object.fromEntries(sliders.map((s) => [s.name, Number(s.getAttribute("value"))])), ...START };
  // What an address that says nothing opens.
  const first = { ...defaults, ...JSON.parse(byId("given").textContent) };
  const state = { ...first };
  const crosses = { paper: null, network: null };
  let shown = Infinity;

  /** Numbers in range, on the slider's steps. */
  function checked(name, value) {
    const slider = sliders.find((s) => s.name === name);
    if (!slider) return Math.max(-1000, Math.min(1000, Number(value.toPrecision(6))));
    const [low, high, step] = ["min", "max", "step"].map((key) => Number(slider[key]));
    const places = step < 1 ? 2 : 0;
    return Number((Math.max(low, Math.min(high, low + Math.round((value - low) / step) * step))).toFixed(places));
  }

  /** Change some of the state, and draw. */
  function set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (!(name in defaults)) throw new Error(`no setting is called ${name}: there are ${Object.keys(defaults)}`);
      if (!Number.isFinite(value)) throw new Error(`${name} must be a number, not ${value}`);
      state[name] = checked(name, value);
    }
    draw();
  }

  function choose(preset) {
    set({ ...defaults, ...preset.set });
    reveal();
  }

  /** The path step by step; at once for those who want no motion. */
  let reveals = 0;
  function reveal() {
    if (still.matches) return;
    const own = ++reveals;
    const begun = performance.now();
    const frame = (now) => {
      if (own !== reveals) return;
      // A frame's time may lie before the call that asked for it.
      const share = Math.max(0, now - begun) / 900;
      shown = share < 1 ? Math.floor(share * state.steps) : Infinity;
      drawPlanes();
      if (share < 1) requestAnimationFrame(frame);
    };
    shown = 0;
    requestAnimationFrame(frame);
  }

  // The address

  let told = 0;
  function tell() {
    clearTimeout(told);
    told = setTimeout(() => {
      const changed = Object.entries(state).filter(([name, value]) => value !== first[name]);
      const hash = changed.map(([name, value]) => `${name}=${value}`).join("&");
      try {
        history.replaceState(null, "", `#${hash}`);
      } catch {
        // Some browsers allow only so many a minute: the next one will do.
      }
      byId("status").textContent = READINGS.map((r) => `${NAMES[r]}: ${byId(`${r}-verdict`).textContent}`).join(" ");
    }, 300);
  }

  function read() {
    const hash = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    // What an address has wrong is left out, not complained about.
    for (const name of Object.keys(first)) {
      const value = Number(hash[name] || NaN);
      state[name] = checked(name, Number.isFinite(value) ? value : first[name]);
    }
    draw();
  }

  // Drawing

  let found = {};
  function analyse() {
    for (const reading of READINGS) {
      const y = system(state, reading);
      const start = reading === "paper" ? toEigen(state, [state.x, state.y]) : [state.x, state.y];
      const path = trajectory(y, start, state.steps);
      found[reading] = {
        system: y, start, path, points: Orbits.fixedPoints(y), cycles: Orbits.cycles(y), far: Orbits.growthFarOut(y),
        gradient: gradient(y, path),
      };
    }
  }

  let asked = false;
  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      analyse();
      drawControls();
      drawPlanes();
      drawNumbers();
      tell();
    });
  }

  const texts = {
    angle: (v) => `${show(v)}°`,
    between: (v) => `${show(v)}°`,
    zoom: (v) => show(SIZES[v]),
  };

  function drawControls() {
    for (const slider of sliders) {
      const value = state[slider.name];
      const text = (texts[slider.name] || show)(value);
      slider.value = String(value);
      slider.setAttribute("aria-valuetext", text);
      byId(`${slider.name}-value`).textContent = text;
    }
    const drive = [state.b1 + state.u, state.b2 + state.u].map(show).join(", ");
    const values = [state.l1, state.l2].map(show).join(", ");
    byId("summary").textContent = `λ ${values} · θ ${show(state.angle)}° · b + u ${drive}`;
    let note = "";
    for (const [group, presets] of Object.entries(PRESETS)) {
      presets.forEach((preset, k) => {
        const all = { ...defaults, ...preset.set };
        // A path started elsewhere, or longer, is still the preset.
        const on = sliders.every(({ name }) => ["steps", "zoom"].includes(name) || state[name] === all[name]);
        byId(group).children[k].setAttribute("aria-pressed", String(on));
        if (on) note = preset.note;
      });
    }
    byId("note").textContent = note || "Settings of your own.";
  }

  function other(reading) {
    const axes = [[1, 0], [0, 1]];
    if (reading === "paper") return axes.map((e, i) => ({ name: `h${"₁₂"[i]}`, direction: toEigen(state, e) }));
    return eigenvectors(state).map((v, i) => ({ name: `v${"₁₂"[i]}`, direction: v }));
  }

  const width = (reading) => Math.max(220, Math.floor(byId(`${reading}-plane`).clientWidth));

  function drawPlanes() {
    for (const reading of READINGS) {
      const { system: y, points, cycles, path, far } = found[reading];
      byId(`${reading}-plane`).innerHTML = Plane.draw({
        reading, width: width(reading), size: SIZES[state.zoom], system: y, other: other(reading), points, cycles, path,
        steps: state.steps, shown: Math.min(shown, state.steps), cross: crosses[reading],
      });
      byId(`${reading}-verdict`).textContent = verdict({ points, cycles, far });
    }
  }

  function drawNumbers() {
    byId("orbit-table").innerHTML = Tables.orbits(found);
    byId("region-table").innerHTML = Tables.regions(found);
    byId("weight-table").innerHTML = Tables.weight(found, eigenvectors(state));
    byId("path-table").innerHTML = Tables.path(found, state.steps);
    byId("growth").innerHTML = Growth.chart(
      READINGS.map((r) => ({ kind: r, name: NAMES[r], logs: found[r].gradient.logs })),
      Math.max(260, Math.floor(byId("growth").clientWidth)), 190);
  }

  // What the user does

  for (const slider of sliders) slider.addEventListener("input", () => set({ [slider.name]: Number(slider.value) }));

  for (const [group, presets] of Object.entries(PRESETS)) {
    for (const preset of presets) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = preset.name;
      button.addEventListener("click", () => choose(preset));
      byId(group).append(button);
    }
  }

  function start(reading, at) {
    const [x, y] = reading === "paper" ? toUnits(state, at) : at;
    set({ x, y });
    reveal();
  }

  /** A place in the window, its cross whole. */
  const within = (h) => h.map((x) => Math.max(-0.27, Math.min(0.97, x / SIZES[state.zoom])) * SIZES[state.zoom]);

  for (const reading of READINGS) {
    const plane = byId(`${reading}-plane`);
    plane.addEventListener("click", (event) => {
      const box = plane.querySelector("svg").getBoundingClientRect();
      const f = Frame.frame(width(reading), SIZES[state.zoom]);
      start(reading, f.state(event.clientX - box.left, event.clientY - box.top));
    });
    plane.addEventListener("keydown", (event) => {
      const by = SIZES[state.zoom] / (event.shiftKey ? 100 : 20);
      const moves = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] };
      // After a click the plane has the focus, but no cross yet.
      crosses[reading] ??= within(found[reading].start);
      if (event.key in moves) {
        crosses[reading] = within(crosses[reading].map((x, i) => x + moves[event.key][i]));
      } else if (event.key === "Enter" || event.key === " ") start(reading, crosses[reading]);
      else return;
      event.preventDefault();
      drawPlanes();
    });
    plane.addEventListener("focus", () => {
      // A click starts a path itself; the cross is for keys.
      if (!plane.matches(":focus-visible")) return;
      crosses[reading] = within(found[reading].start);
      drawPlanes();
    });
    plane.addEventListener("blur", () => {
      if (!crosses[reading]) return;
      crosses[reading] = null;
      drawPlanes();
    });
    new ResizeObserver(draw).observe(plane);
  }

  const LEGEND = [
    [Marks.glyph("stable"), "stable"], [Marks.glyph("unstable"), "unstable"], [Marks.glyph("saddle"), "saddle"],
    [Marks.glyph("neutral"), "neutral"],
    ['<path class="set neutral" d="M-9 0H9"/><path class="set-core" d="M-9 0H9"/>', "neutral line (specks: cone)"],
    [Marks.glyph("cycle stable"), "2-cycle (filled: stable)"],
    ['<path class="path" d="M-9 4L9 -4"/><path class="path-dots" d="M-9 4h0M0 0h0M9 -4h0"/>', "path from the start"],
    ['<path class="start" d="M-5 -5l10 10m0 -10l-10 10"/>', "start"],
    ['<path class="boundary unit-1" d="M-9 4L9 -4"/>', "z = 0: a unit goes on"],
    ['<path class="other-line" d="M-9 4L9 -4"/>', "the other plane’s axes"],
  ];
  byId("legend").innerHTML = LEGEND.map(([shape, name]) =>
    `<li><svg viewBox="-10 -9 20 18" aria-hidden="true">${shape}</svg>${name}</li>`).join("");

  // On a phone the settings are a sheet at the bottom that opens over the planes.
  const fold = () => { byId("controls").open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  addEventListener("hashchange", read);

  window.nprnn = {
    ...Systems, ...Orbits, set, parameters: Object.keys(defaults),
    get state() { return { ...state }; },
  };
  read();
})();
