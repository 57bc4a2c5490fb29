"""Hashed permutations and dropout masks: uniform, and a function of their position alone."""

from __future__ import annotations

import pytest
import torch

from harness.engine.rng import Dropout, dropout_threshold, permutations, wrap_int32


def draw_masks(
    p: float, keys: list[int], steps: int, layer: int = 0, width: int = 500
) -> torch.Tensor:
    """Return dropout masks [steps, B, K, width], True where a unit is kept."""
    dropout = Dropout(len(keys), 64, width, torch.device("cpu"))
    dropout.epoch_keys.copy_(torch.tensor(keys, dtype=torch.int32).view(1, -1, 1))
    limit = torch.full((1, len(keys), 1), dropout_threshold(p), dtype=torch.int32)
    masks = []
    for step in range(steps):
        dropout.set_step(torch.tensor([step]))
        masks.append(dropout.keep_mask(layer, limit, width))
    return torch.stack(masks)


def test_a_permutation_holds_every_index_once_and_differs_by_seed() -> None:
    rows = permutations(torch.tensor([1, 2]), 1000)
    for row in rows:
        assert torch.equal(row.sort().values, torch.arange(1000))
    assert (rows[0] == rows[1]).sum() < 20
    assert torch.equal(rows[1], permutations(torch.tensor([2]), 1000)[0])


def test_permutations_are_uniform() -> None:
    """The first index over 20,000 seeds: chi-squared test of 10 cells, 9 degrees of freedom."""
    first = permutations(torch.arange(20_000), 10)[:, 0]
    counts = torch.bincount(first, minlength=10).double()
    chi_squared = ((counts - 2000) ** 2 / 2000).sum().item()
    assert chi_squared < 27.9, "p = 0.001"


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_the_fraction_p_along_every_axis(p: float) -> None:
    keep = draw_masks(p, [3, -7, 123456], steps=20).double()
    share = 1 - p
    assert keep.mean().item() == pytest.approx(share, abs=0.002)
    for axis in ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)):
        means = keep.mean(axis)
        count = keep.numel() / len(means)
        tolerance = 5 * (p * share / count) ** 0.5  # five standard errors
        assert torch.allclose(means, torch.full_like(means, share), rtol=0, atol=tolerance + 1e-12)


def test_masks_of_steps_layers_and_slots_are_uncorrelated() -> None:
    keep = draw_masks(0.5, [1, 2], steps=2).double() - 0.5
    other_layer = draw_masks(0.5, [1, 2], steps=2, layer=1).double() - 0.5
    noise = 5 * 0.25 / (64 * 500) ** 0.5
    for one, two in (
        (keep[0, :, 0], keep[1, :, 0]),
        (keep[0, :, 0], keep[0, :, 1]),
        (keep[0, :, 0], other_layer[0, :, 0]),
        (keep[0, 1:, 0], keep[0, :-1, 0]),
        (keep[0, :, 0, 1:], keep[0, :, 0, :-1]),
    ):
        assert abs((one * two).mean().item()) < noise


def test_a_mask_depends_on_neither_slot_nor_padding() -> None:
    keep = draw_masks(0.3, [11, 5], steps=3)
    assert torch.equal(keep[:, :, 1], draw_masks(0.3, [5], steps=3)[:, :, 0])
    assert torch.equal(keep[..., :20], draw_masks(0.3, [11, 5], steps=3, width=20))


def test_thresholds_are_int32() -> None:
    for p in (0.0, 1e-12, 0.5, 1 - 1e-12):
        assert wrap_int32(dropout_threshold(p)) == dropout_threshold(p)
