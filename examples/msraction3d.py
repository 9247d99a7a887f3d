"""MSR Action3D skeletons as a file for ``nprnn train sequences``: python examples/msraction3d.py IN.npz OUT.npz.

Protocol: subjects 1, 3 and 5 train, 7 and 9 validate, the even ones test; the corrupt sequences are left out. The
coordinates (metres) are taken relative to the hip centre of the same frame. Where the tracker lost the body, the frame
is all zeros and the last good one stands in for it.
"""

from __future__ import annotations

import sys

import numpy as np

HIP_CENTRE = 6
SPLIT = {1: "train", 3: "train", 5: "train", 7: "valid", 9: "valid"}

raw = np.load(sys.argv[1], allow_pickle=False)
clean = np.flatnonzero(raw["clean"])
xyz, subject = raw["xyz"], raw["subject"][clean]
sequences = []
for first, length in zip(raw["offset"][clean], raw["length"][clean], strict=True):
    frames = xyz[first : first + length]
    good = frames.any((1, 2))
    frames = frames[np.maximum.accumulate(np.where(good, np.arange(length), good.argmax()))]
    sequences.append((frames - frames[:, [HIP_CENTRE]]).reshape(length, -1))
np.savez_compressed(
    sys.argv[2],
    x=np.concatenate(sequences),
    lengths=raw["length"][clean],
    y=raw["action"][clean] - 1,
    class_names=raw["action_names"],
    group=subject,
    split=np.array([SPLIT.get(person, "test") for person in subject.tolist()]),
)
