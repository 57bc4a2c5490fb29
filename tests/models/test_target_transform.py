"""Transforms of a regression's target: formulas, bounds, the way back, and no leakage."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer

from harness.checks.check_settings import _find_shape_mismatch
from harness.data.torch_datasets import Split
from harness.engine.cpu_placement import CpuPlacement
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.placement import GpuPlacement, Placement
from harness.engine.trainer import Trainer
from harness.models import target_transform
from harness.models.mlp import load_model
from harness.results import TrialResult
from harness.scoring.champion import describe_numbers, from_scale, to_scale
from harness.stats.conformal import compute_half_width
from harness.trial import CHOICES, TrialSpec
from tests.engine.autograd_reference import assert_equals_autograd, create_group, train_steps
from tests.engine.training import train_one, train_trials
from tests.support import regression_table

TRANSFORMS = CHOICES["target_transform"]
SKEWED = np.random.default_rng(0).lognormal(3, 1.5, 700).astype(np.float32).astype(np.float64)
SPEC = TrialSpec(hidden=(16,), loss="mse", batch_size=40, epochs=3, learning_rate=3e-3)


def fit(name: str, targets: np.ndarray) -> dict[str, torch.Tensor]:
    return target_transform.fit_transform(name, targets)


def forward(name: str, targets: np.ndarray, fitted: dict[str, torch.Tensor]) -> np.ndarray:
    return target_transform.to_network_units(name, torch.from_numpy(targets), fitted).numpy()


def back(name: str, output: np.ndarray, fitted: dict[str, torch.Tensor]) -> np.ndarray:
    return target_transform.to_target_units(name, torch.from_numpy(output), fitted).numpy()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_way_back_is_the_inverse_and_the_network_sees_standardized_targets(name: str) -> None:
    fitted = fit(name, SKEWED)
    z = forward(name, SKEWED, fitted)
    assert (z.mean(), z.std()) == pytest.approx((0, 1), abs=1e-9)
    np.testing.assert_allclose(back(name, z, fitted), SKEWED, rtol=1e-9)
    shapes = {key: tuple(value.shape) for key, value in fitted.items()}
    assert shapes == target_transform.STATISTIC_SHAPES[name]
    in_float32 = {key: value.float() for key, value in fitted.items()}
    rounded = back(name, z.astype(np.float32), in_float32)
    np.testing.assert_allclose(rounded, SKEWED, rtol=1e-5 if name != "standard" else 1e-3)


def test_log_is_the_standardized_logarithm_within_ten_times_the_training_range() -> None:
    fitted, logs = fit("log", SKEWED), np.log(SKEWED)
    np.testing.assert_allclose(forward("log", SKEWED, fitted), (logs - logs.mean()) / logs.std())
    ends = back("log", np.array([-1e9, 1e9]), fitted)
    np.testing.assert_allclose(ends, [SKEWED.min() / 10, SKEWED.max() * 10])
    outside = forward("log", np.array([-5.0, 0.0, 1e30]), fitted)
    np.testing.assert_allclose(back("log", outside, fitted), ends[[0, 0, 1]])


def test_quantile_is_the_normal_quantile_of_the_rank() -> None:
    """Equal to scikit-learn's but at the ends, where it maps to infinity cut at 5.2."""
    fitted = fit("quantile", SKEWED)
    ranks = SKEWED.argsort().argsort()
    expected = norm.ppf((ranks + 0.5) / len(SKEWED))
    z = forward("quantile", SKEWED, fitted)
    np.testing.assert_allclose(z, expected / expected.std(), atol=0.02)
    theirs = QuantileTransformer(n_quantiles=700, output_distribution="normal")
    middle = np.abs(expected) < 2
    their_z = theirs.fit_transform(SKEWED[:, None])[middle, 0]
    np.testing.assert_allclose(z[middle] * expected.std(), their_z, atol=0.03)


def test_quantile_is_monotone_and_stays_within_the_training_targets() -> None:
    fitted = fit("quantile", SKEWED)
    values = back("quantile", np.linspace(-50, 50, 3000), fitted)
    assert (np.diff(values) >= 0).all()
    assert (values.min(), values.max()) == (SKEWED.min(), SKEWED.max())
    outside = forward("quantile", np.array([-1e6, 1e6]), fitted)
    ends = forward("quantile", np.array([SKEWED.min(), SKEWED.max()]), fitted)
    np.testing.assert_allclose(outside, ends)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize(
    "targets",
    [[5.0], [5.0] * 20, [1.0, 2.0], [1.0] * 90 + [7.0] * 10, [1.0] * 50 + list(range(2, 52))],
    ids=["one", "constant", "two", "two values", "many ties"],
)
def test_few_or_equal_targets_come_back(name: str, targets: list[float]) -> None:
    y = np.array(targets)
    fitted = fit(name, y)
    z = forward(name, y, fitted)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(back(name, z, fitted), y, rtol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_outputs_of_a_diverged_network_stay_nan_or_bounded(name: str) -> None:
    values = back(name, np.array([np.nan, np.inf, -np.inf]), fit(name, SKEWED))
    assert np.isnan(values[0])
    assert name == "standard" or np.isfinite(values[1:]).all()


def test_log_of_targets_that_are_not_above_0_is_refused() -> None:
    with pytest.raises(ValueError, match=r"target_transform: log needs .* training set is -3; use"):
        fit("log", np.array([1.0, -3.0, 2.0]))
    splits = regression_table.make_splits()
    labels = splits.train.labels.clone()
    labels[splits.train.rows[3]] = 0
    train = Split(splits.train.inputs, labels, splits.train.rows, 0.0, 1.0)
    trainer = Trainer(DeviceData(replace(splits, train=train)), "val/rmse")
    with pytest.raises(ValueError, match="log needs targets above 0"):
        trainer.add("0", replace(SPEC, target_transform="log"))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_training_rows_alone_determine_the_statistics(name: str) -> None:
    splits = regression_table.make_splits()
    before = DeviceData(splits).get_target(name)
    labels = splits.train.labels.clone()
    labels[splits.validation.rows] = -1e9
    train, validation = (
        Split(each.inputs, labels, each.rows, 0.0, 1.0)
        for each in (splits.train, splits.validation)
    )
    after = DeviceData(replace(splits, train=train, validation=validation)).get_target(name)
    rows = splits.train.rows
    assert torch.equal(before.labels[rows], after.labels[rows])
    for key, value in before.statistics.items():
        assert torch.equal(value, after.statistics[key])


@pytest.mark.parametrize("vectorised", [False, True], ids=["rowwise", "vectorised"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_training_equals_autograd(name: str, vectorised: bool) -> None:
    data = DeviceData(regression_table.make_splits(), dtype=torch.float64)
    spec = replace(SPEC, target_transform=name)
    group = create_group([spec, replace(spec, hidden=(9,), seed=1)], data, vectorised)
    assert_equals_autograd(group, train_steps(group, 30), data)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_losses_are_of_the_transformed_target_and_errors_in_its_own_units(name: str) -> None:
    splits = regression_table.make_splits()
    data, spec = DeviceData(splits), replace(SPEC, target_transform=name)
    result, _ = train_one(spec, data, "val/rmse")
    assert isinstance(result, TrialResult)
    model = load_model(spec, 0, result.weights)
    rows = splits.validation.rows
    with torch.inference_mode():
        predicted = model(splits.validation.inputs[rows])[:, 0]
    true = splits.validation.labels[rows]
    recorded = np.frombuffer(result.predictions, np.float32)
    np.testing.assert_allclose(predicted.numpy(), recorded, rtol=1e-5)
    errors = predicted.double() - true
    assert result.best.val_rmse == pytest.approx(errors.square().mean().sqrt().item(), rel=1e-4)
    loss = model.compute_target_errors(predicted, true).square().mean().item()
    assert result.best.val_loss == pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_training_rmse_is_in_target_units(name: str) -> None:
    """The learning rate is so small that all batches see the same network."""
    splits = regression_table.make_splits()
    spec = replace(SPEC, target_transform=name, learning_rate=1e-12, epochs=1)
    result, _ = train_one(spec, DeviceData(splits), "val/rmse")
    model, rows = load_model(spec, 0, result.weights), splits.train.rows
    with torch.inference_mode():
        errors = model(splits.train.inputs[rows])[:, 0].double() - splits.train.labels[rows]
    assert result.best.train_rmse == pytest.approx(errors.square().mean().sqrt().item(), rel=1e-4)


@pytest.mark.parametrize("on_gpu", [False, True], ids=["cpu", "gpu"])
def test_trials_of_different_transforms_train_in_groups_of_their_own(on_gpu: bool) -> None:
    data = DeviceData(regression_table.make_splits())
    specs = [replace(SPEC, target_transform=name, seed=n) for n in (0, 1) for name in TRANSFORMS]
    placement: Placement = CpuPlacement(data)
    if on_gpu:
        placement = GpuPlacement(data, lambda: 2**40, partial(FusedGroup, vectorised=True))
    alone = [train_one(spec, data, "val/rmse")[0] for spec in specs[:3]]
    together, _ = train_trials(specs, data, "val/rmse", placement=placement)
    for one, other in zip(alone, together, strict=False):
        assert isinstance(other, TrialResult)
        assert other.best.val_rmse == pytest.approx(one.best.val_rmse, rel=1e-4)
        assert (
            safetensors.torch.load(one.weights).keys()
            == safetensors.torch.load(other.weights).keys()
        )


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_exported_graph_predicts_the_same(name: str) -> None:
    splits = regression_table.make_splits()
    spec = replace(SPEC, target_transform=name)
    result, _ = train_one(spec, DeviceData(splits), "val/rmse")
    model = load_model(spec, 0, result.weights)
    x = splits.validation.inputs[splits.validation.rows]
    graph = torch.export.export(
        model, (x[:2],), dynamic_shapes=[{0: torch.export.Dim.AUTO}]
    ).module()
    with torch.inference_mode():
        assert torch.equal(graph(x), model(x))


@pytest.mark.parametrize("name", ["log", "quantile"])
def test_an_interval_has_the_width_of_errors_on_the_transformed_scale(name: str) -> None:
    """And covers as many new targets as it should, without a negative price."""
    fitted = fit(name, SKEWED)
    low, high = fitted["target_low"].item(), fitted["target_high"].item()
    scale: dict[str, list[float]] = {"log": [low, high]}
    if name == "quantile":
        knots = fitted["target_knots"].tolist()
        scale = {"knots": knots, "scores": np.linspace(low, high, len(knots)).tolist()}
    rng = np.random.default_rng(1)
    center = rng.lognormal(3, 1.4, 4000)
    true = center * rng.lognormal(0, 0.3, 4000)
    scaled = [to_scale(each[:2000], scale) for each in (true, center)]
    u = target_transform._transform(name, torch.from_numpy(true[:2000]), fitted).numpy()
    np.testing.assert_allclose(scaled[0], u, atol=1e-9)
    np.testing.assert_allclose(
        from_scale(u, scale), back(name, forward(name, true[:2000], fitted), fitted), rtol=1e-9
    )
    columns = describe_numbers(center[2000:], compute_half_width(*scaled), scale)
    inside = (columns["low"] <= true[2000:]) & (true[2000:] <= columns["high"])
    assert 0.88 < inside.mean() < 0.92
    assert (columns["low"] > 0).all()
    assert (
        columns["low"] <= columns["prediction"].clip(*from_scale(np.array([low, high]), scale))
    ).all()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_doctor_knows_the_tensors_of_each_transform(name: str) -> None:
    spec = replace(SPEC, target_transform=name, epochs=1)
    result, _ = train_one(spec, DeviceData(regression_table.make_splits()), "val/rmse")
    weights = safetensors.torch.load(result.weights)
    shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    assert _find_shape_mismatch(shapes, spec, 1, True) == ""
    other = replace(spec, target_transform="log" if name != "log" else "quantile")
    assert _find_shape_mismatch(shapes, other, 1, True).startswith("target_")
