"""The parts of a training step that are written for speed equal their plain forms, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine import losses
from harness.engine.device_data import Batches, DeviceData
from harness.engine.fused_group import COUNTED_STEPS, FusedGroup
from harness.engine.masks import Masks
from harness.engine.matmul import BatchedMatmul, OneDnnMatmul, SingleMatmul
from harness.engine.padding import Layout
from harness.engine.parameter_buffer import ParameterBuffer
from harness.models.mlp import MLP
from harness.trial import CHOICES, TrialSpec
from tests.engine.autograd_reference import create_group

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training))


def test_every_step_gathers_its_rows_of_the_epochs_order(data: DeviceData) -> None:
    batches = Batches(data, data.labels, batch_size=100, slots=2)
    for epoch in (1, 2):
        order = data.batch_order([3, 4], [epoch, epoch], 100)
        batches.begin_epoch(order)
        for step in range(3):  # the second epoch begins before the first one ended
            x, y = batches.gather(torch.tensor([step]))
            raw = data.examples[order[step]].float()
            assert torch.equal(x, (raw - data.mean) * data.inv_std)
            assert torch.equal(y, data.labels[order[step]])


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("size", [64, 100, 129])
def test_the_loss_is_the_mean_over_the_batch(size: int, slots: int) -> None:
    specs = [TrialSpec(batch_size=size, seed=seed) for seed in range(slots)]
    masks = Masks(Layout.tight(specs), 10, CPU, torch.float32)
    for slot, spec in enumerate(specs):
        masks.load(slot, spec)
    logits, y = torch.randn(size, slots, 10), torch.randint(0, 10, (size, slots))
    loss, dz = losses.compute_loss_and_gradient(logits, y, masks, smoothing=False)
    log_p = torch.log_softmax(logits, 2)
    assert torch.equal(loss, -log_p.gather(2, y.unsqueeze(2)).mean((0, 2)))
    one_hot = torch.nn.functional.one_hot(y, 10).float()
    assert torch.equal(dz, (log_p.exp() - one_hot) * (1 / size))


def test_correct_predictions_are_counted_in_every_step(data: DeviceData) -> None:
    """At a learning rate of almost zero the network stays the first one."""
    spec = TrialSpec(hidden=(16,), batch_size=2, optimizer="sgd", learning_rate=1e-30)
    specs = [spec, replace(spec, seed=1)]
    group = create_group(specs, data)
    assert group.steps > COUNTED_STEPS
    assert group.steps % COUNTED_STEPS
    for epoch in (1, 2):
        trained = group.train_epoch()
        for slot, each in enumerate(specs):
            rows = data.batch_order([each.seed], [epoch], 2).flatten()
            model = MLP(each, data.classes, data.mean, data.inv_std).eval()
            model.load_state_dict(group.weights(slot, each), strict=False)
            with torch.inference_mode():
                correct = model(data.examples[rows].float()).argmax(1) == data.labels[rows]
            share = correct.double().mean().item()
            assert trained.metrics[slot]["train_accuracy"] == pytest.approx(share, abs=2e-3)


@pytest.mark.parametrize("vectorised", [False, True], ids=["rowwise", "vectorised"])
@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
def test_a_trial_continues_in_another_group(
    data: DeviceData, optimizer: str, vectorised: bool
) -> None:
    spec = TrialSpec.from_dict(
        {"hidden": [16], "optimizer": optimizer, "momentum": 0.9, "batch_size": 100}
    )
    stays, leaves = (create_group([spec], data, vectorised) for _ in range(2))
    for group in (stays, leaves):
        group.train_epoch()
    joins = FusedGroup(leaves.layout, data, vectorised)
    joins.load(0, leaves.unload(0))
    for group in (stays, joins):
        group.train_epoch()
    assert torch.equal(stays.buffer.params, joins.buffer.params)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("matmul", [SingleMatmul, OneDnnMatmul])
def test_small_products_of_one_slot_equal_the_batched_ones(
    matmul: type[SingleMatmul | OneDnnMatmul], bias: bool
) -> None:
    spec = TrialSpec(hidden=(24,), batch_size=50, bias=bias)
    buffer = ParameterBuffer(Layout.tight([spec]), 30, 7, CPU, torch.float32, is_single=True)
    buffer.params.normal_()
    one, batched = matmul(buffer), BatchedMatmul(buffer)
    h, dz = torch.randn(50, 1, 30), torch.randn(50, 1, 24)
    for name, product in (("forward", h), ("input_gradient", dz)):
        fast, plain = (getattr(each, name)("linears.0", product) for each in (one, batched))
        assert fast.shape == plain.shape
        assert fast.is_contiguous()
        assert torch.equal(fast, plain)
    gradients = []
    for each in (one, batched):
        buffer.grads.zero_()
        each.weight_gradient("linears.0", dz, h)
        gradients.append(buffer.grads.clone())
    assert torch.equal(*gradients)
    assert gradients[0].any()
