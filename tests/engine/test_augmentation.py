"""Augmentation: what each change does to an image, and what its random numbers depend on."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from harness.data.torch_datasets import Split, Splits
from harness.engine.augmentation import ERASED_SIDE, Augmentation
from harness.engine.device_data import DeviceData
from harness.engine.elastic import ElasticField
from harness.engine.rng import mix32
from harness.engine.trial_state import TrialState
from harness.trial import AugmentName, TrialSpec
from tests.engine.autograd_reference import assert_equals_autograd, create_group, train_steps

SIDE, BATCH = 28, 400
BLACK = -0.5
ALL: tuple[AugmentName, ...] = ("shift", "rotate", "scale", "elastic", "flip", "erase")


def augment(x: Tensor, *names: AugmentName, key: int = 1, step: int = 0) -> Tensor:
    """Augment images [B, H, W] or [B, C, H, W] for a single trial."""
    black = torch.full((x[0].numel(),), BLACK)
    augmentation = Augmentation(names, 1, len(x), x.shape[1:], black)
    augmentation.load(0, TrialSpec(augment=names))
    augmentation.epoch_keys.fill_(key)
    return augmentation(x.reshape(len(x), 1, -1), torch.tensor([step])).view(x.shape)


def draw_dot(row: int, column: int) -> Tensor:
    """Return black images with one bright pixel."""
    x = torch.full((BATCH, SIDE, SIDE), BLACK)
    x[:, row, column] = 1.0
    return x


def find_center(x: Tensor) -> Tensor:
    """Return the center (row, column) of the brightness: [B, 2]."""
    weight = (x - BLACK).clamp(min=0)
    index = torch.arange(SIDE, dtype=torch.float32)
    total = weight.sum((1, 2))
    rows = (weight.sum(2) * index).sum(1) / total
    return torch.stack([rows, (weight.sum(1) * index).sum(1) / total], 1)


NOISE = torch.randn(BATCH, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_shift_moves_by_up_to_two_pixels_both_ways() -> None:
    moved = find_center(augment(draw_dot(14, 14), "shift")) - 14
    assert moved.abs().max() <= 0.16 * SIDE / 2 + 1e-3
    assert moved.min() < -2
    assert moved.max() > 2
    assert abs(torch.corrcoef(moved.t())[0, 1]) < 0.15, "rows and columns move independently"


def test_rotate_turns_by_up_to_ten_degrees_both_ways() -> None:
    off = find_center(augment(draw_dot(13, 24), "rotate")) - (SIDE - 1) / 2
    angle = torch.rad2deg(torch.atan2(off[:, 0], off[:, 1]))
    started = torch.rad2deg(torch.atan2(torch.tensor(-0.5), torch.tensor(10.5)))
    assert (angle - started).abs().max() < 10.6
    assert (angle - started).min() < -8
    assert (angle - started).max() > 8
    assert (off.norm(dim=1) - 10.5).abs().max() < 0.3, "it turns around the center"


def test_scale_moves_off_center_pixels_in_or_out() -> None:
    off = find_center(augment(draw_dot(13, 24), "scale")) - (SIDE - 1) / 2
    zoom = off.norm(dim=1) / 10.5
    assert 0.88 < zoom.min() < 0.93
    assert 1.07 < zoom.max() < 1.14


def test_elastic_moves_pixels_by_a_smooth_field_as_large_as_simards() -> None:
    """34 times the noise smoothed by 4 pixels, of 29: scipy's filter gives the same field."""
    field = ElasticField(29, 29, torch.device("cpu"), torch.float64)
    hashes = torch.arange(300, dtype=torch.int32).view(-1, 1, 1) * 7919
    moved = field.compute(hashes, torch.float64)[:, 0] * 29 / 2  # in pixels
    noise = mix32(hashes ^ field._purposes).double() * 2.0**-31
    noise = noise.view(-1, 2, 29, 29)
    assert (noise.min() < -0.99, noise.max() > 0.99) == (True, True)
    expected = 34 * gaussian_filter(noise[0, 0].numpy(), 4, mode="constant", truncate=20)
    assert moved[0, ..., 0].numpy() == pytest.approx(expected, abs=1e-6)
    inner = moved[:, 10:19, 10:19]
    assert 1.2 < inner.std() < 1.5
    assert (inner.diff(dim=1).std() / inner.std()) < 0.3, "neighbours move together"
    assert abs(torch.corrcoef(inner.reshape(-1, 2).t())[0, 1]) < 0.1
    center = find_center(augment(draw_dot(14, 14), "elastic")) - 14
    assert 1 < center.std() < 1.8


def test_flip_mirrors_half_of_the_images_left_to_right() -> None:
    flipped = augment(NOISE, "flip")
    mirrored = (flipped == NOISE.flip(2)).flatten(1).all(1)
    same = (flipped == NOISE).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 0.4 < mirrored.float().mean() < 0.6


def test_erase_blackens_one_square_of_half_of_the_images() -> None:
    result = augment(NOISE, "erase")
    erased = result == BLACK
    has_square = erased.flatten(1).any(1)
    assert 0.4 < has_square.float().mean() < 0.6
    size = round(ERASED_SIDE * SIDE)
    for mask in erased[has_square]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == size - 1
        assert int(mask.sum()) == size * size
    assert torch.equal(result[~erased], NOISE[~erased])
    starts = erased[has_square].any(2).float().argmax(1)
    assert (int(starts.min()), int(starts.max())) == (0, SIDE - size), "anywhere, edges too"


def test_pixels_shifted_in_from_outside_are_black() -> None:
    shifted = augment(torch.ones(BATCH, SIDE, SIDE), "shift")
    assert shifted.min() == BLACK
    assert shifted.max() <= 1 + 1e-5


def test_it_depends_on_epoch_step_and_example_alone() -> None:
    x = draw_dot(14, 14)
    first = augment(x, "shift", "rotate")
    assert torch.equal(first, augment(x, "shift", "rotate"))
    assert not torch.equal(first, augment(x, "shift", "rotate", key=2))
    assert not torch.equal(first, augment(x, "shift", "rotate", step=1))
    assert not torch.equal(first[0], first[1])


def test_a_trial_without_augmentation_is_unchanged() -> None:
    assert torch.equal(augment(NOISE), NOISE)
    names: tuple[AugmentName, ...] = ("shift", "flip", "erase")
    augmentation = Augmentation(names, 2, BATCH, (SIDE, SIDE), torch.full((SIDE * SIDE,), BLACK))
    augmentation.load(1, TrialSpec(augment=names))
    augmentation.epoch_keys.fill_(1)
    x = NOISE.view(BATCH, 1, -1).expand(-1, 2, -1).contiguous()
    both = augmentation(x, torch.tensor([0]))
    assert torch.equal(both[:, 0].view(NOISE.shape), NOISE)
    alone = augment(NOISE, *names)
    assert torch.equal(both[:, 1].view(NOISE.shape), alone), "the other slot changes nothing"


@pytest.mark.parametrize("names", [*((name,) for name in ALL), ALL], ids="+".join)
def test_all_channels_of_an_image_change_alike_and_as_a_gray_image_does(
    names: tuple[AugmentName, ...],
) -> None:
    channels = [NOISE, NOISE.flip(1), NOISE.roll(5, 0)]
    augmented = augment(torch.stack(channels, 1)[..., :20], *names)  # higher than wide
    for index, channel in enumerate(channels):
        assert torch.equal(augmented[:, index], augment(channel[..., :20], *names))


def create_data(*shape: int) -> DeviceData:
    """Create random examples of this shape in two classes."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (120, *shape), dtype=torch.uint8, generator=generator)
    labels = torch.arange(120) % 2
    train, validation = (
        Split(inputs, labels, rows, 127.0, 74.0)
        for rows in (torch.arange(96), torch.arange(96, 120))
    )
    features = torch.ones(inputs[0].numel())
    splits = Splits(train, validation, ("no", "yes"), 127 * features, features / 74)
    return DeviceData(splits, dtype=torch.float64)


def test_training_on_augmented_rgb_images_equals_autograd() -> None:
    specs = [
        TrialSpec(hidden=(9,), batch_size=16, augment=ALL, seed=1),
        TrialSpec(hidden=(7,), batch_size=16, seed=2),
    ]
    data = create_data(3, 8, 6)
    group = create_group(specs, data)
    assert_equals_autograd(group, train_steps(group, 20), data)


def test_augmentation_of_tabular_data_is_refused() -> None:
    spec = TrialSpec(augment=("flip",), batch_size=16)
    with pytest.raises(
        ValueError, match=r"augment: works on images only; these examples have shape \[48\]"
    ):
        TrialState.create("0", spec, create_data(48))
