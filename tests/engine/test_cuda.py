"""The engine on a real GPU: the captured step, refilled slots, the memory estimate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.placement import free_device_memory
from harness.engine.trainer import Trainer
from harness.results import TrialFailure, TrialResult
from harness.trial import TrialSpec
from tests.engine.autograd_reference import assert_padding_is_zero, create_group, train_by_autograd
from tests.engine.test_against_autograd import MIXED
from tests.engine.training import train_trials

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training), "cuda", dtype=torch.float64)


def test_the_replayed_step_equals_autograd(data: DeviceData) -> None:
    group = create_group(MIXED, data, vectorised=True)
    for _ in range(3):
        trained = group.train_epoch()
    for slot, trial in enumerate(group.trials):
        assert trial is not None
        expected = train_by_autograd(trial.spec, data, 3 * group.steps)
        last = sum(expected.losses[-group.steps :]) / group.steps
        assert trained.loss[slot] == pytest.approx(last, rel=0, abs=1e-10)
        weights = group.weights(slot, trial.spec)
        for name, tensor in expected.model.named_parameters():
            torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-8)
    assert_padding_is_zero(group)


def test_a_slot_is_refilled_without_another_capture(data: DeviceData) -> None:
    spec = TrialSpec(hidden=(32,), batch_size=64, epochs=3)
    trainer = Trainer(data, "val/accuracy")
    for seed in range(2):
        trainer.add(str(seed), replace(spec, seed=seed))
    list(trainer.train_epoch())
    (group,) = trainer.groups
    replay = group._replay
    trainer.decide("0", True)
    trainer.drop("1")
    trainer.add("2", replace(spec, seed=2, hidden=(16,)))
    list(trainer.train_epoch())
    assert trainer.groups == [group]
    assert group._replay is replay
    assert free_device_memory(data.device) > 0


def test_gpu_and_cpu_differ_by_rounding_only(data: DeviceData, digits: PreparedDataset) -> None:
    on_cpu = DeviceData(load_splits(digits.training), dtype=torch.float64)
    specs = [replace(spec, epochs=2, dropout=0.2) for spec in MIXED]
    gpu_outcomes, _ = train_trials(specs, data)
    cpu_outcomes, _ = train_trials(specs, on_cpu)
    for gpu, cpu in zip(gpu_outcomes, cpu_outcomes, strict=True):
        assert isinstance(gpu, TrialResult)
        assert isinstance(cpu, TrialResult)
        assert gpu.best.val_loss == pytest.approx(cpu.best.val_loss, rel=0, abs=1e-8)


def test_a_diverging_trial_fails_alone(data: DeviceData) -> None:
    wild = TrialSpec(hidden=(9, 9), optimizer="sgd", learning_rate=1e200, batch_size=64, epochs=2)
    outcomes, _ = train_trials([wild, replace(MIXED[0], epochs=2)], data)
    assert isinstance(outcomes[0], TrialFailure)
    assert isinstance(outcomes[1], TrialResult)
