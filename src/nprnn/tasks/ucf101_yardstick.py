"""What clips tell without their order: logistic regression on the mean of a clip's frames, to measure networks by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nprnn.errors import ConfigError
from nprnn.feature_store import FeatureStore
from nprnn.tasks.ucf101_clips import unit
from nprnn.tasks.ucf101_division import divide

PENALTIES = tuple(10.0**-k for k in range(1, 8))


class Yardstick(NamedTuple):
    """What logistic regression scores.

    Attributes:
        test: accuracy on the test clips, fitted to all others.
        valid: accuracy on the validation clips, fitted to the training clips.
        penalty: what did best there; times half the sum of squares of the weights it is added to the mean loss.
        sizes: clips trained on, choosing, and tested on.
        right: which test clips are answered rightly, booleans [tested], in their order.
        parameters: weights and biases.
    """

    test: float
    valid: float
    penalty: float
    sizes: tuple[int, int, int]
    right: Tensor
    parameters: int


def mean_pooled_logistic(
    store: FeatureStore, split: str = "01", *, validation: str = "group25", folds: int = 6
) -> Yardstick:
    """Multinomial logistic regression on the mean over a clip's frames, divided by its norm.

    The penalty is chosen by the cross-entropy of the validation clips, for accuracy does not tell penalties apart: on
    ten of UCF-101's classes group 25 is answered without a fault by most of them. Then training and validation clips
    together are fitted to.

    Args:
        store: the features.
        split: name of the split.
        validation: which clips choose, as the task ``ucf101`` has it; not none.
        folds: how many folds there are.

    Returns:
        The scores.

    Raises:
        ConfigError: no such split or group, or nothing to choose the penalty on.
        DataError: a damaged store, or a split that cannot be trusted.
    """
    if validation == "none":
        raise ConfigError("the penalty is chosen on validation clips: validation must not be 'none'; try fold0")
    division = divide(store, split, validation, folds)
    rows = store.rows
    number = {label: k for k, label in enumerate(sorted({row.label for row in rows}))}
    y = torch.tensor([number[row.label] for row in rows])
    # Clip by clip: of a large store, the means alone are in memory.
    x = unit(torch.stack([torch.from_numpy(store.features(k).mean(0, np.float32)) for k in range(len(rows))]))

    def judged(fitted_to: tuple[int, ...], told: tuple[int, ...], penalty: float) -> tuple[float, Tensor]:
        """Cross-entropy, and which are right."""
        learnt, asked = list(fitted_to), list(told)
        weight, bias = fit(x[learnt], y[learnt], len(number), penalty)
        output = x[asked] @ weight.T + bias
        return float(functional.cross_entropy(output, y[asked])), output.argmax(1) == y[asked]

    found = {penalty: judged(division.train, division.valid, penalty) for penalty in PENALTIES}
    best = min(found, key=lambda penalty: found[penalty][0])
    _, right = judged(division.train + division.valid, division.test, best)
    sizes = (len(division.train), len(division.valid), len(division.test))
    test, valid = (float(answers.double().mean()) for answers in (right, found[best][1]))
    return Yardstick(test, valid, best, sizes, right, len(number) * (store.width + 1))


def fit(x: Tensor, y: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights and bias that minimise the mean cross-entropy plus penalty / 2 times the sum of squared weights.

    Args:
        x: inputs [n, F].
        y: classes [n].
        classes: how many there are.
        penalty: above 0, so that there is one minimum.

    Returns:
        Weights [classes, F] and bias [classes].
    """
    weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=500, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss = functional.cross_entropy(x @ weight.T + bias, y) + penalty / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
