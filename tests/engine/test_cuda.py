"""What only a GPU can show: the captured step, refilled slots, the memory estimate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.data.prepare import Prepared
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.placement import device_memory
from harness.engine.trainer import Trainer
from harness.results import TrialFailure, TrialResult
from harness.trial import TrialSpec
from tests.engine.autograd_reference import by_autograd, cell_of, check_padding
from tests.engine.test_against_autograd import MIXED
from tests.engine.training import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def data(digits: Prepared) -> DeviceData:
    return DeviceData(load_splits(digits.training), "cuda", dtype=torch.float64)


def test_the_replayed_step_equals_autograd(data: DeviceData) -> None:
    cell = cell_of(MIXED, data, vectorised=True)
    for _ in range(3):
        trained = cell.train_epoch()
    for slot, member in enumerate(cell.members):
        assert member is not None
        expected = by_autograd(member.spec, data, 3 * cell.steps)
        last = sum(expected.losses[-cell.steps :]) / cell.steps
        assert trained.loss[slot] == pytest.approx(last, rel=0, abs=1e-10)
        weights = cell.weights(slot, member.spec)
        for name, tensor in expected.model.named_parameters():
            torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-8)
    check_padding(cell)


def test_a_slot_is_refilled_without_another_capture(data: DeviceData) -> None:
    spec = TrialSpec(hidden=(32,), batch_size=64, epochs=3)
    population = Trainer(data, "val/accuracy")
    for seed in range(2):
        population.add(str(seed), replace(spec, seed=seed))
    list(population.train_epoch())
    (cell,) = population.cells
    replay = cell._replay
    population.judge("0", True)
    population.drop("1")
    population.add("2", replace(spec, seed=2, hidden=(16,)))
    list(population.train_epoch())
    assert population.cells == [cell]
    assert cell._replay is replay
    assert device_memory(data.device) > 0


def test_the_device_changes_nothing_but_rounding(data: DeviceData, digits: Prepared) -> None:
    on_cpu = DeviceData(load_splits(digits.training), dtype=torch.float64)
    specs = [replace(spec, epochs=2, dropout=0.2) for spec in MIXED]
    there, _ = train(specs, data)
    here, _ = train(specs, on_cpu)
    for one, two in zip(there, here, strict=True):
        assert isinstance(one, TrialResult)
        assert isinstance(two, TrialResult)
        assert one.best.val_loss == pytest.approx(two.best.val_loss, rel=0, abs=1e-8)


def test_a_diverging_member_ends_alone(data: DeviceData) -> None:
    wild = TrialSpec(hidden=(9, 9), optimizer="sgd", learning_rate=1e200, batch_size=64, epochs=2)
    outcomes, _ = train([wild, replace(MIXED[0], epochs=2)], data)
    assert isinstance(outcomes[0], TrialFailure)
    assert isinstance(outcomes[1], TrialResult)
