"use strict";
// Views that make a point: what is left out is as on the sliders.
const Presets = (() => {
  const START = { x: 1, y: 0.9 };

  const PRESETS = {
    "paper-presets": [
      {
        name: "(a) 1 and 1",
        set: { l2: 1 },
        note: "IRNN: W is the identity whatever θ. Every state of the quadrant stays where it is.",
      },
      {
        name: "(b) both < 1",
        set: { l1: 0.9, l2: 0.6 },
        note: "Everything falls to the origin, in both planes.",
      },
      {
        name: "(c) 1 and < 1",
        set: { x: 0.8, y: 1.5 },
        note: "np-RNN: all falls onto the line along v₁ and stays. So it does in the network, because this v₁ has no " +
          "negative entry.",
      },
      {
        name: "(d) one > 1",
        set: { l1: 1.1 },
        note: "Diverges along v₁; in the network too, because this v₁ has no negative entry.",
      },
    ],
    "more-presets": [
      {
        name: "mixed-sign eigenvector: dies",
        set: { l2: 0.8, angle: -35, x: 1.6, y: 0.3 },
        note: "An eigenvalue 1 as in (c), but v₁ points out of the quadrant: the network has no line to rest on, and " +
          "the path from the start dies.",
      },
      {
        name: "non-negative eigenvector: survives",
        set: { l2: 0.8, angle: 35, x: 1.6, y: 0.3 },
        note: "The same eigenvalues, v₁ mirrored into the quadrant: W has no negative entry, no state is clipped, " +
          "and the part along v₁ is kept.",
      },
      {
        name: "a bias brings the line back",
        set: { l2: 0.5, angle: -45, b1: 0.5, b2: 0.5, x: 1.9, y: 0.9, zoom: 3 },
        note: "Mixed signs again, but b shifts the line of fixed points into the quadrant: a segment of it is kept.",
      },
      {
        name: "λ > 1, yet bounded",
        set: { l1: 1.3, l2: 0.3, angle: -45, b1: 0.5, b2: 0.5, x: 1.4, y: 1.2, zoom: 3 },
        note: "(d) with mixed signs and a bias: the paper’s reading diverges, the network chooses one of two stable " +
          "points. One bit, kept for ever.",
      },
      {
        name: "a 2-cycle",
        set: { l1: 0.5, l2: -1.2, angle: 45, b1: 0.3, b2: 0.3, x: 0.9, y: 0.5, zoom: 3 },
        note: "λ₂ < −1: the two units take turns. The paper’s reading clips the negative eigenvalue away and settles.",
      },
      {
        name: "skewed: grows, then dies",
        set: { l1: 0.9, l2: 0.3, angle: 30, between: 15, x: 0.8, y: 0.2 },
        note: "Both eigenvalues below 1, but v₁ and v₂ nearly parallel: path and gradient grow before they shrink.",
      },
    ],
  };

  return { START, PRESETS };
})();
