"""The list of trials that the sweep benchmarks train, and the useful work of one step.

Print it:

    python tests/benchmarks/fixed_list.py
"""

from __future__ import annotations

import random

from harness.engine import cost_model
from harness.trial import Activation, BatchNorm, OptimizerName, TrialSpec

OPTIMIZERS: tuple[OptimizerName, ...] = ("sgd", "adam")
PENALTIES = ("none", "l1", "l2")
BATCH_NORMS: tuple[BatchNorm, ...] = ("none", "before", "after")
ACTIVATIONS: tuple[Activation, ...] = ("relu", "tanh", "gelu")
BATCH_SIZES = (64, 128, 200, 256)


def create_specs(count: int = 20, seed: int = 7, epochs: int = 3) -> list[TrialSpec]:
    """Return random trials, the same on every machine; a longer list extends a shorter one."""
    rng = random.Random(seed)
    return [_draw(rng, index, epochs) for index in range(count)]


def step_flops(spec: TrialSpec) -> int:
    """Return the operations of one training step's matrix products on FashionMNIST."""
    return cost_model.count_step_flops(spec.hidden, spec.batch_size, inputs=784, classes=10)


def _draw(rng: random.Random, index: int, epochs: int) -> TrialSpec:
    # Changing the order of the draws changes the list.
    depth = rng.randint(1, 5)
    hidden = tuple(round(16 * 64 ** rng.random()) for _ in range(depth))  # 16 to 1024
    optimizer = rng.choice(OPTIMIZERS)
    penalty = rng.choice(PENALTIES)
    strength = _log_uniform(rng, 1e-6, 5e-4)
    rate = _log_uniform(rng, *((1e-4, 1e-2) if optimizer == "adam" else (1e-3, 0.2)))
    return TrialSpec(
        hidden=hidden,
        optimizer=optimizer,
        learning_rate=rate,
        momentum=0.9 if optimizer == "sgd" else 0.0,
        l1=strength if penalty == "l1" else 0.0,
        l2=strength if penalty == "l2" else 0.0,
        batch_norm=rng.choice(BATCH_NORMS),
        activation=rng.choice(ACTIVATIONS),
        batch_size=rng.choice(BATCH_SIZES),
        epochs=epochs,
        seed=index,
    )


def _log_uniform(rng: random.Random, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.random())


if __name__ == "__main__":
    for spec in create_specs():
        penalty = f" · l1 {spec.l1:.1e}" if spec.l1 else f" · l2 {spec.l2:.1e}" if spec.l2 else ""
        name = f"{spec.describe()} · {spec.activation} · batch {spec.batch_size}{penalty}"
        print(f"{spec.seed:>2}  {step_flops(spec) / 1e6:5.0f} MFLOP a step  {name}")
