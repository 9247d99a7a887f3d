"""MSR Action3D skeletons for ``nprnn train sequences``: python examples/msraction3d.py IN.npz OUT.npz [final].

Protocol: subjects 1, 3 and 5 train, 7 and 9 validate, the even ones test; with ``final``, once the settings are
chosen, all five train. Corrupt sequences are left out. A step has 180 features: each joint's place relative to the hip
centre in units of the body's size, its velocity, and how far it is from where it was at the start. Where the tracker
lost the body the last good frame stands in.
"""

from __future__ import annotations

import sys

import numpy as np

HIP_CENTRE = 6
VALID = () if sys.argv[3:] == ["final"] else (7, 9)

raw = np.load(sys.argv[1], allow_pickle=False)
clean = np.flatnonzero(raw["clean"])
xyz, subject = raw["xyz"], raw["subject"][clean]
sequences = []
for first, length in zip(raw["offset"][clean], raw["length"][clean], strict=True):
    frames = xyz[first : first + length]
    good = frames.any((1, 2))
    frames = frames[np.maximum.accumulate(np.where(good, np.arange(length), good.argmax()))]
    place = frames - frames[:, [HIP_CENTRE]]
    place = place / np.linalg.norm(place, axis=2).mean()
    sequences.append(np.concatenate([place, np.gradient(place, axis=0), place - place[:1]], 1).reshape(length, -1))
split = np.where(subject % 2 == 0, "test", np.where(np.isin(subject, VALID), "valid", "train"))
np.savez_compressed(
    sys.argv[2],
    x=np.concatenate(sequences).astype(np.float32),
    lengths=raw["length"][clean],
    y=raw["action"][clean] - 1,
    class_names=raw["action_names"],
    group=subject,
    split=split,
)
