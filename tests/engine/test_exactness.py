"""The engine against torch.nn and torch.optim under autograd, in float64."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from harness.data.files import Prepared
from harness.data.parts import load_splits
from harness.engine import Resident, train
from harness.engine.loop import Group
from harness.model import MLP
from harness.trial import Outcome, TrialFailure, TrialResult, TrialSpec

STEPS = 100


@pytest.fixture(scope="module")
def data(digits: Prepared) -> Resident:
    return Resident(load_splits(digits.training), dtype=torch.float64)


def oracle(
    spec: TrialSpec, data: Resident, group: Group, member: int, steps: int
) -> tuple[MLP, list[float]]:
    """The same steps by autograd: the trained model and each step's loss."""
    model = MLP(spec, data.classes, data.mean, data.inv_std, torch.float64).train()
    model.load_state_dict(group.arena.snapshot(member))
    parameters = list(model.parameters())
    if spec.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(parameters, lr=spec.learning_rate)
    else:
        optimizer = torch.optim.SGD(parameters, lr=spec.learning_rate, momentum=spec.momentum)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, spec.epochs * group.steps_per_epoch
    )
    losses = []
    order = (rows for epoch in itertools.count(1) for rows in data.order([spec], epoch))
    for rows in itertools.islice(order, steps):
        x, y = data.images[rows[:, 0]], data.labels[rows[:, 0]]
        loss = F.cross_entropy(model(x), y, label_smoothing=spec.label_smoothing)
        penalty = spec.l1 * sum(p.abs().sum() for p in parameters)
        penalty += spec.l2 * sum(p.square().sum() for p in parameters)
        optimizer.zero_grad()
        (loss + penalty).backward()
        optimizer.step()
        if spec.schedule == "cosine":
            schedule.step()
        losses.append(loss.item())
    return model, losses


def steps_of(group: Group, data: Resident, steps: int) -> list[list[float]]:
    """The engine's losses, [steps][K]."""
    losses = []
    batches = itertools.chain.from_iterable(
        data.batches(group.specs, epoch) for epoch in itertools.count(1)
    )
    for index, (x, y) in enumerate(itertools.islice(batches, steps)):
        loss, _ = group.network.gradients(x, y)
        group.optimizer.step(group.learning_rates(index))
        losses.append(loss.tolist())
    return losses


def check(specs: list[TrialSpec], data: Resident) -> None:
    group = Group(specs, data)
    fresh = Group(specs, data)
    ours = steps_of(group, data, STEPS)
    for member, spec in enumerate(specs):
        model, theirs = oracle(spec, data, fresh, member, STEPS)
        assert [row[member] for row in ours] == pytest.approx(theirs, rel=0, abs=1e-12)
        weights = group.arena.snapshot(member)
        for name, expected in model.state_dict().items():
            torch.testing.assert_close(weights[name], expected, rtol=0, atol=1e-9)


# Batches of 32 are too small here: relu units that fire once in a batch make BatchNorm so ill
# conditioned that autograd itself drifts by 7e-12 when its init is perturbed by 1e-15.
BASE = TrialSpec(hidden=(24, 12), batch_size=64, epochs=5, learning_rate=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
)
def test_equals_autograd(data: Resident, activation: str, batch_norm: str, optimizer: str) -> None:
    values = {"activation": activation, "batch_norm": batch_norm, "optimizer": optimizer}
    spec = TrialSpec.from_dict(BASE.to_dict() | values | {"l1": 1e-4, "l2": 1e-3, "momentum": 0.9})
    check([spec], data)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": ()},
        {"hidden": (16, 12, 8)},
        {"bias": False},
        {"bias": True, "batch_norm": "before", "optimizer": "sgd", "learning_rate": 0.05},
        {"label_smoothing": 0.1},
        {"schedule": "cosine"},
        {"init": "xavier_uniform"},
        {"init": "kaiming_normal", "optimizer": "sgd", "momentum": 0.0},
    ],
    ids=str,
)
def test_equals_autograd_in_every_option(data: Resident, changes: dict[str, object]) -> None:
    check([TrialSpec.from_dict(BASE.to_dict() | changes)], data)


def test_a_group_equals_autograd_member_by_member(data: Resident) -> None:
    check(
        [
            replace(BASE, batch_norm="before", seed=1),
            replace(BASE, batch_norm="before", seed=2, learning_rate=1e-2, l1=1e-3),
            replace(BASE, batch_norm="before", seed=3, optimizer="sgd", label_smoothing=0.2),
        ],
        data,
    )


def outcomes(specs: list[TrialSpec], data: Resident) -> list[Outcome]:
    """Train to the end, pruning nobody."""
    training = train(specs, data, "val/accuracy")
    next(training)
    while True:
        try:
            training.send(True)
        except StopIteration as end:
            ended: list[Outcome] = end.value
            return ended


def run(specs: list[TrialSpec], data: Resident) -> list[TrialResult]:
    results = [outcome for outcome in outcomes(specs, data) if isinstance(outcome, TrialResult)]
    assert len(results) == len(specs)
    return results


def test_a_trial_gives_the_same_bits_again(digits: Prepared) -> None:
    data = Resident(load_splits(digits.training))
    spec = replace(BASE, batch_norm="after", dropout=0.3, seed=5)
    first, second = run([spec], data)[0], run([spec], data)[0]
    assert first.weights == second.weights
    assert first.predictions == second.predictions
    assert run([replace(spec, seed=6)], data)[0].weights != first.weights


def test_a_member_trains_beside_others_as_alone(data: Resident) -> None:
    specs = [replace(BASE, dropout=0.2, seed=seed) for seed in range(3)]
    together = run(specs, data)
    for spec, member in zip(specs, together, strict=True):
        alone = run([spec], data)[0]
        assert member.best.val_loss == pytest.approx(alone.best.val_loss, rel=0, abs=1e-12)
        assert member.predictions == alone.predictions


def test_a_diverging_member_touches_no_other(data: Resident) -> None:
    good = replace(BASE, hidden=(24,), optimizer="sgd", learning_rate=0.1)
    wild = replace(good, learning_rate=1e200, seed=9)
    spared, failed = outcomes([good, wild], data)
    beside_a_good_one = outcomes([good, replace(good, seed=9)], data)[0]
    assert isinstance(failed, TrialFailure)
    assert failed.reason.startswith("diverged: train/loss is nan in epoch 1")
    assert isinstance(spared, TrialResult)
    assert isinstance(beside_a_good_one, TrialResult)
    assert spared.weights == beside_a_good_one.weights
