"""The trainer: when a trial ends, its best epoch, its independence of other trials, memory."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.cpu_placement import CpuPlacement
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout
from harness.engine.placement import GpuPlacement, Placement
from harness.engine.trainer import Trainer
from harness.engine.trial_state import TrialState, find_divergence, is_better, perturb
from harness.models.mlp import load_model
from harness.results import EpochMetrics, Objective, TrialFailure, TrialResult
from harness.trial import CHOICES, TrialSpec
from tests.engine.training import load_few, train_one, train_trials

METRICS = EpochMetrics(
    epoch=3,
    train_loss=0.5,
    train_accuracy=0.8,
    penalty=0.0,
    val_loss=0.6,
    val_accuracy=0.75,
    learning_rate=1e-3,
    seconds=0.1,
    time=1.7e9,
)
SMALL = TrialSpec(hidden=(16,), batch_size=64, epochs=3)


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training))


@pytest.fixture(scope="module")
def double(digits: PreparedDataset) -> DeviceData:
    return load_few(digits)


def gpu_placement(data: DeviceData, memory: int = 2**40, max_slots: int = 64) -> GpuPlacement:
    """Return the GPU's placement and optimizer on a CPU; groups fit up to `max_slots`."""

    def build(layout: Layout, data: DeviceData) -> FusedGroup:
        if layout.slots > max_slots:
            raise torch.OutOfMemoryError
        return FusedGroup(layout, data, vectorised=True)

    return GpuPlacement(data, lambda: memory, build)


def test_an_equal_epoch_is_not_better() -> None:
    assert not is_better(METRICS, METRICS, "val/accuracy")
    assert not is_better(METRICS, METRICS, "val/loss")
    better = replace(METRICS, val_accuracy=0.76, val_loss=0.59)
    assert is_better(better, METRICS, "val/accuracy")
    assert is_better(better, METRICS, "val/loss")
    assert not is_better(METRICS, better, "val/accuracy")
    assert not is_better(METRICS, better, "val/loss")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_divergence(value: float) -> None:
    assert find_divergence(3, train_loss=0.5, val_loss=0.6) is None
    message = find_divergence(3, train_loss=0.5, val_loss=value)
    assert message == f"diverged: val/loss is {value} in epoch 3"


@pytest.mark.parametrize("objective", ["val/accuracy", "val/loss"])
def test_patience_ends_a_trial_and_the_best_epochs_weights_are_saved(
    digits: PreparedDataset, data: DeviceData, objective: Objective
) -> None:
    spec = TrialSpec(hidden=(32,), batch_norm="after", learning_rate=0.03, epochs=200, patience=3)
    outcome, epochs = train_one(spec, data, objective)
    values = [epoch.get_objective(objective) for epoch in epochs]
    best = max(values) if objective == "val/accuracy" else min(values)
    assert outcome.stopped == "early"
    assert outcome.best.epoch == values.index(best) + 1
    assert outcome.epochs == len(epochs) == outcome.best.epoch + 3

    split = load_splits(digits.training).validation
    model = load_model(spec, 10, outcome.weights)
    with torch.inference_mode():
        logits = model(split.inputs[split.rows])
    assert bytes(logits.argmax(1).to(torch.uint8).tolist()) == outcome.predictions
    accuracy = (logits.argmax(1) == split.labels[split.rows]).float().mean().item()
    assert accuracy == pytest.approx(outcome.best.val_accuracy, abs=1e-6)
    assert outcome.parameters == sum(p.numel() for p in model.parameters())
    steps = safetensors.torch.load(outcome.weights)["norms.0.num_batches_tracked"]
    assert steps == outcome.best.epoch * (len(data) // spec.batch_size)


def test_a_trial_pruned_in_its_last_epoch_counts_as_finished(data: DeviceData) -> None:
    (outcome,), _ = train_trials([replace(SMALL, epochs=1)], data, keep=lambda uid, metrics: False)
    assert isinstance(outcome, TrialResult)
    assert outcome.stopped == "finished"


def test_evaluate_every_skips_epochs_but_not_the_last(data: DeviceData) -> None:
    outcome, epochs = train_one(replace(SMALL, epochs=7, evaluate_every=3), data)
    assert [metrics.epoch for metrics in epochs] == [3, 6, 7]
    assert outcome.epochs == 7
    assert outcome.seconds == pytest.approx(sum(metrics.seconds for metrics in epochs))
    _, every = train_one(replace(SMALL, epochs=7), data)
    for metrics in epochs:
        same = every[metrics.epoch - 1]
        assert (metrics.val_loss, metrics.train_loss) == (same.val_loss, same.train_loss)


def test_divergence_between_evaluations_is_noticed(data: DeviceData) -> None:
    wild = replace(SMALL, optimizer="sgd", learning_rate=1e30, epochs=9, evaluate_every=9)
    (outcome,), (epochs,) = train_trials([wild], data)
    assert outcome == TrialFailure(reason="diverged: train/loss is nan in epoch 1")
    assert not epochs


def test_a_trial_repeats_bitwise(data: DeviceData) -> None:
    spec = replace(SMALL, hidden=(24, 12), batch_norm="after", dropout=0.3, seed=5)
    first, second = train_one(spec, data)[0], train_one(spec, data)[0]
    assert first.weights == second.weights
    assert first.predictions == second.predictions
    assert train_one(replace(spec, seed=6), data)[0].weights != first.weights


def test_trials_in_groups_of_one_are_bitwise_independent(data: DeviceData) -> None:
    """Too wide to be fused on a CPU, so each is in a group of one."""
    wide = replace(SMALL, hidden=(512, 256), dropout=0.2)
    specs = [wide, replace(wide, hidden=(700,), seed=1), replace(wide, optimizer="sgd", seed=2)]
    together, _ = train_trials(specs, data, joins={1: 1, 2: 2})
    for spec, outcome in zip(specs, together, strict=True):
        assert isinstance(outcome, TrialResult)
        assert outcome.weights == train_one(spec, data)[0].weights


def test_fused_trials_share_their_time(data: DeviceData) -> None:
    started = time.perf_counter()
    outcomes, epochs = train_trials([replace(SMALL, seed=seed) for seed in range(4)], data)
    elapsed = time.perf_counter() - started
    assert len({metrics[0].seconds for metrics in epochs}) == 1, "the same share each"
    shares = sum(outcome.seconds for outcome in outcomes if isinstance(outcome, TrialResult))
    assert 0 < shares < elapsed


def test_a_dropped_trial_frees_its_slot(data: DeviceData) -> None:
    trainer = Trainer(data, "val/accuracy")
    for uid in ("stays", "goes"):
        trainer.add(uid, SMALL)
    (reports,) = trainer.train_epoch()
    assert {report.uid for report in reports} == {"stays", "goes"}
    trainer.drop("goes")
    assert trainer.decide("stays", True) is None
    (reports,) = trainer.train_epoch()
    assert [report.uid for report in reports] == ["stays"]
    assert len(trainer) == 1
    assert trainer.clear() == ["stays"]
    assert len(trainer) == 0


def test_a_batch_larger_than_the_data_is_refused(data: DeviceData) -> None:
    with pytest.raises(ValueError, match="batch_size 100000 is more than the"):
        Trainer(data, "val/accuracy").add("", replace(SMALL, batch_size=100_000))


@st.composite
def specs(draw: st.DrawFn) -> TrialSpec:
    """Draw a small trial; all fields may differ."""

    def one_of(*values: Any) -> Any:
        return draw(st.sampled_from(values))

    batch_norm = one_of(*CHOICES["batch_norm"])
    # A bias in front of BatchNorm has no gradient but rounding noise, which Adam turns into steps.
    biases = (None, False) if batch_norm == "before" else (None, True, False)
    return TrialSpec(
        hidden=tuple(draw(st.lists(st.integers(1, 20), max_size=3))),
        activation=one_of(*CHOICES["activation"]),
        batch_norm=batch_norm,
        bias=one_of(*biases),
        dropout=one_of(0.0, 0.0, 0.3),
        loss=one_of("cross-entropy", "mse", "bce"),
        augment=one_of((), (), ("flip",), ("shift", "rotate", "scale", "erase")),
        optimizer=one_of(*CHOICES["optimizer"]),
        learning_rate=one_of(1e-3, 1e-2),
        momentum=one_of(0.0, 0.9),
        nesterov=one_of(False, True),
        schedule=one_of(*CHOICES["schedule"]),
        batch_size=one_of(100, 200),
        l1=one_of(0.0, 1e-4),
        l2=one_of(0.0, 1e-3),
        label_smoothing=one_of(0.0, 0.1),
        class_weights=one_of(*CHOICES["class_weights"]),
        epochs=draw(st.integers(1, 3)),
        evaluate_every=one_of(1, 2),
        seed=draw(st.integers(0, 3)),
    )


@st.composite
def populations(draw: st.DrawFn) -> tuple[list[TrialSpec], dict[int, int], list[int]]:
    """Draw trials, the epoch in which each joins, and which are pruned at their first report."""
    trials = draw(st.lists(specs(), min_size=2, max_size=6))
    joins = {index: draw(st.integers(0, 2)) for index in range(len(trials))}
    pruned = draw(st.lists(st.integers(0, len(trials) - 1), max_size=2))
    return trials, joins, pruned


@pytest.mark.parametrize("device", ["cpu", "gpu", "small gpu"])
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(population=populations())
def test_other_trials_do_not_change_a_result(
    double: DeviceData, device: str, population: tuple[list[TrialSpec], dict[int, int], list[int]]
) -> None:
    """Trials join, are pruned and end; each equals itself trained alone, up to rounding."""
    trials, joins, pruned = population
    placement: Placement = {
        "cpu": lambda: CpuPlacement(double),
        "gpu": lambda: gpu_placement(double),
        "small gpu": lambda: gpu_placement(double, max_slots=2),
    }[device]()
    together, epochs = train_trials(
        trials,
        double,
        placement=placement,
        joins=joins,
        keep=lambda uid, metrics: int(uid) not in pruned,
    )
    for index, spec in enumerate(trials):
        keep = index not in pruned
        (alone,), (alone_epochs,) = train_trials(
            [spec], double, keep=lambda uid, metrics, k=keep: k
        )
        assert isinstance(alone, TrialResult)
        result = together[index]
        assert isinstance(result, TrialResult)
        assert (result.epochs, result.stopped) == (alone.epochs, alone.stopped)
        assert result.parameters == alone.parameters
        for one, two in zip(alone_epochs, epochs[index], strict=True):
            assert one.train_loss == pytest.approx(two.train_loss, rel=0, abs=1e-12)
            # As exact as the weights: in front of a BatchNorm, the weights of constant pixels have
            # no gradient but rounding noise, and only its running mean depends on them.
            assert one.val_loss == pytest.approx(two.val_loss, rel=0, abs=1e-9)
            assert one.penalty == pytest.approx(two.penalty, rel=1e-9)
            assert one.learning_rate == two.learning_rate
        weights = safetensors.torch.load(result.weights)
        for name, tensor in safetensors.torch.load(alone.weights).items():
            torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-9)


def test_trials_that_do_not_fit_into_memory_train_later(double: DeviceData) -> None:
    trials = [replace(SMALL, seed=seed) for seed in range(7)]
    placement = gpu_placement(double, max_slots=2)
    outcomes, _ = train_trials(trials, double, placement=placement)
    assert all(isinstance(outcome, TrialResult) for outcome in outcomes)
    assert placement._capacities == {(64, 128, "standard"): 1}, "halved until it fitted"


def test_a_full_width_class_does_not_block_the_others(double: DeviceData) -> None:
    """Wide trials fit one at a time, narrow ones all together."""

    def build(layout: Layout, data: DeviceData) -> FusedGroup:
        if layout.slots > 1 and max(layout.widths) > 128:
            raise torch.OutOfMemoryError
        return FusedGroup(layout, data, vectorised=True)

    trainer = Trainer(double, "val/accuracy", GpuPlacement(double, lambda: 2**40, build))
    for seed in range(2):
        trainer.add(f"wide {seed}", replace(SMALL, hidden=(200,), seed=seed))
    for seed in range(4):
        trainer.add(f"narrow {seed}", replace(SMALL, seed=seed))
    uids = [report.uid for reports in trainer.train_epoch() for report in reports]
    assert sorted(uids) == ["narrow 0", "narrow 1", "narrow 2", "narrow 3", "wide 0"]
    for uid in uids:
        trainer.decide(uid, uid != "wide 0")
    uids = [report.uid for reports in trainer.train_epoch() for report in reports]
    assert "wide 1" in uids, "a slot became free"


def test_the_memory_estimate_limits_the_slots(double: DeviceData) -> None:
    from harness.engine.placement import MEMORY_SHARE, estimate_slot_bytes, width_class

    trials = [replace(SMALL, seed=seed) for seed in range(5)]
    layout = gpu_placement(double).layout_with_room(width_class(SMALL), trials[:1])
    memory = int(2.5 * estimate_slot_bytes(layout, double) / MEMORY_SHARE)
    trainer = Trainer(double, "val/accuracy", gpu_placement(double, memory))
    for index, spec in enumerate(trials):
        trainer.add(str(index), spec)
    (reports,) = trainer.train_epoch()
    (group,) = trainer.groups
    assert len(reports) == 2
    for report in reports:
        trainer.decide(report.uid, True)
    list(trainer.train_epoch())
    assert trainer.groups == [group], "waiting trials do not rebuild it"


def test_a_trial_that_cannot_fit_into_memory_fails(double: DeviceData) -> None:
    outcomes, _ = train_trials([SMALL, SMALL], double, placement=gpu_placement(double, max_slots=0))
    assert outcomes == [TrialFailure(reason="needs more memory than cpu has")] * 2


def test_a_freed_slot_is_refilled_in_place(double: DeviceData) -> None:
    trainer = Trainer(double, "val/accuracy", gpu_placement(double))
    for uid, width in (("a", 8), ("b", 16)):
        trainer.add(uid, replace(SMALL, hidden=(width,)))
    list(trainer.train_epoch())
    (group,) = trainer.groups
    for uid in ("a", "b"):
        trainer.decide(uid, uid == "b")
    assert len(trainer) == 1
    group.buffer.params[0] = float("nan")  # as a diverged trial leaves it
    trainer.add("c", replace(SMALL, hidden=(32,), seed=4))
    (reports,) = trainer.train_epoch()
    assert trainer.groups == [group], "the same group"
    assert all(isinstance(report.outcome, EpochMetrics) for report in reports)
    assert {trial.uid for trial in group.trials if trial} == {"b", "c"}
    trainer.decide("b", True)
    trainer.decide("c", True)
    trainer.add("d", replace(SMALL, activation="tanh"))
    list(trainer.train_epoch())
    assert group not in trainer.groups, "a new feature needs a new group"


def test_a_perturbation_has_the_given_size_and_repeats(data: DeviceData) -> None:
    spec = TrialSpec(hidden=(32,), batch_norm="before", epochs=1)
    plain = TrialState.create("a", spec, data)
    assert plain.tensors is not None
    twin, repeated, other = (perturb(TrialState.create(uid, spec, data), 1e-3) for uid in "aab")
    for name, tensor in plain.tensors.params.items():
        change = (twin.params[name] - tensor)[tensor != 0] / tensor[tensor != 0]
        assert torch.equal(twin.params[name], repeated.params[name])
        if len(change) > 100:
            assert not torch.equal(twin.params[name], other.params[name])
            assert change.mean().item() == pytest.approx(0, abs=1e-4)
            assert change.std().item() == pytest.approx(1e-3, rel=0.1)


def test_only_perturbed_trials_differ(data: DeviceData) -> None:
    def losses(perturbation: float, uids: str) -> dict[str, float]:
        trainer = Trainer(data, "val/accuracy", perturbation=perturbation)
        for uid in uids:
            trainer.add(uid, SMALL)
        outcomes = {
            report.uid: report.outcome for reports in trainer.train_epoch() for report in reports
        }
        return {u: o.train_loss for u, o in outcomes.items() if isinstance(o, EpochMetrics)}

    (plain,), (epochs,) = train_trials([SMALL], data)
    assert isinstance(plain, TrialResult)
    assert losses(0.0, "a") == {"a": epochs[0].train_loss}
    fused, twins = losses(0.0, "abc"), losses(1e-3, "abc")
    assert len(set(fused.values())) == 1
    assert len({*fused.values(), *twins.values()}) == 4
