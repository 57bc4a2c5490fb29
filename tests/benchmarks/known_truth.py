"""Small datasets whose truth is known: many more examples of the same kind than a study sees.

Each dataset is drawn anew from its seed. `made` and `regression` are formulas; `mnist` and
`fashion-mnist` are drawn from the 70,000 images, reduced to 14x14 pixels, and the truth is 50,000
of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harness.data.builtin import find_dataset
from harness.data.types import DataOptions
from harness.models.mlp import load_model
from harness.trial import TrialSpec

Values = npt.NDArray[Any]

TRAINED, TEST, TRUTH = 400, 200, 50_000
"""Examples of the training and validation set together, of the test set, and of the truth."""
DIMENSIONS, CLASSES = 20, 4
NOISES: tuple[str, ...] = ("normal", "t5", "lognormal")
"""The distributions of a made regression's noise, each with mean 0 and standard deviation 2."""
NOISE_DEVIATION = 2.0


@dataclass(frozen=True)
class KnownTruth:
    """One dataset, and the examples on which its models are truly measured."""

    arrays: dict[str, Values]
    """The content of the study's `.npz` file."""
    inputs: torch.Tensor
    labels: Values
    """Classes [n]; for a regression the targets without their noise."""
    noise: Values | None = None
    """What is added to a regression's targets, [n]."""

    @property
    def is_regression(self) -> bool:
        return self.noise is not None

    @torch.inference_mode()
    def measure(self, spec: TrialSpec, weights: bytes) -> dict[str, Any]:
        """Return the true `accuracy` and `classes`, or the true `square` (the mean) and `mae`."""
        model = load_model(spec, 0 if self.is_regression else self.count_classes(), weights)
        parts = [model(part) for part in torch.split(self.inputs, 10_000)]
        if self.noise is None:
            right = torch.cat(parts).argmax(1).numpy() == self.labels
            classes = [float(right[self.labels == each].mean()) for each in np.unique(self.labels)]
            return {"accuracy": float(right.mean()), "classes": classes}
        errors = torch.cat(parts)[:, 0].double().numpy() - self.labels
        # The noise has no part in the errors, so its variance is known and not estimated.
        square = float(np.square(errors).mean()) + NOISE_DEVIATION**2
        return {"square": square, "mae": float(np.abs(errors - self.noise).mean())}

    def count_classes(self) -> int:
        return len(np.unique(self.labels))


def draw_dataset(kind: str, seed: int, data_dir: Path | None = None) -> KnownTruth:
    """Draw a dataset of a kind of `KINDS`. Raises DataError if its images are missing."""
    rng = np.random.default_rng([1, sorted(KINDS).index(kind), seed])
    return KINDS[kind](rng, seed, data_dir)


def _draw_made(rng: np.random.Generator, seed: int, data_dir: Path | None) -> KnownTruth:
    """Three Gaussian clusters a class in 20 dimensions; 5 % of the labels are drawn at random."""
    centers = rng.normal(size=(3 * CLASSES, DIMENSIONS)) * 0.75
    n = TRAINED + TEST + TRUTH
    cluster = rng.integers(len(centers), size=n)
    x = centers[cluster] + rng.normal(size=(n, DIMENSIONS))
    y = np.where(rng.random(n) < 0.05, rng.integers(CLASSES, size=n), cluster % CLASSES)
    return _cut(x.astype(np.float32), y)


def _draw_regression(rng: np.random.Generator, seed: int, data_dir: Path | None) -> KnownTruth:
    """Friedman's function of 5 of 10 numbers, with noise of one of `NOISES`."""
    n = TRAINED + TEST + TRUTH
    x = rng.random((n, 10)).astype(np.float32)
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    y = y.astype(np.float64) + 10 * x[:, 3] + 5 * x[:, 4]
    return _cut(x, y, NOISE_DEVIATION * draw_noise(NOISES[seed % len(NOISES)], rng, n))


def draw_noise(name: str, rng: np.random.Generator, n: int) -> Values:
    """Return noise [n] of mean 0 and variance 1."""
    if name == "normal":
        return rng.normal(size=n)
    if name == "t5":
        return rng.standard_t(5, n) / np.sqrt(5 / 3)
    variance = (np.e - 1) * np.e
    return (rng.lognormal(size=n) - np.exp(0.5)) / np.sqrt(variance)


def _draw_images(name: str) -> Callable[[np.random.Generator, int, Path | None], KnownTruth]:
    def draw(rng: np.random.Generator, seed: int, data_dir: Path | None) -> KnownTruth:
        images, labels = _load_images(name, data_dir)
        rows = rng.permutation(len(images))[: TRAINED + TEST + TRUTH]
        return _cut(images[rows], labels[rows])

    return draw


@cache
def _load_images(name: str, data_dir: Path | None) -> tuple[Values, Values]:
    """Return all images, uint8 [70000, 14, 14], each pixel the mean of 2x2, and their labels."""
    arrays = find_dataset(name, data_dir, False, DataOptions()).decode()
    assert arrays.test is not None
    images = np.concatenate([arrays.inputs, arrays.test[0]])
    small = images.reshape(len(images), 14, 2, 14, 2).mean((2, 4)).round().astype(np.uint8)
    return small, np.concatenate([arrays.labels, arrays.test[1]])


def _cut(x: Values, y: Values, noise: Values | None = None) -> KnownTruth:
    """Cut examples into the study's own and those of the truth."""
    targets = y if noise is None else y + noise
    parts = np.split(np.arange(len(x)), [TRAINED, TRAINED + TEST])
    arrays = {
        "x": x[parts[0]],
        "y": targets[parts[0]],
        "x_test": x[parts[1]],
        "y_test": targets[parts[1]],
    }
    truth = parts[2]
    return KnownTruth(
        arrays, torch.from_numpy(x[truth]), y[truth], None if noise is None else noise[truth]
    )


KINDS: dict[str, Callable[[np.random.Generator, int, Path | None], KnownTruth]] = {
    "made": _draw_made,
    "mnist": _draw_images("mnist"),
    "fashion-mnist": _draw_images("fashion-mnist"),
    "regression": _draw_regression,
}
"""How each kind of dataset is drawn from a generator, a seed and the folder of the images."""
