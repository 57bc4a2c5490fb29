"""Which trials are fused on a CPU core, and what that gains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.engine.cost_model import CPU_SLOTS, count_step_flops, estimate_gain, group_trials
from harness.trial import TrialSpec

NARROW = TrialSpec(hidden=(32,), batch_size=64)


def test_flops_are_counted_without_the_gradient_of_the_inputs() -> None:
    assert count_step_flops((300, 100), 64, 784, 10) == 64 * (
        4 * 784 * 300 + 6 * (300 * 100 + 100 * 10)
    )
    assert count_step_flops((), 1, 784, 10) == 4 * 784 * 10


def test_small_similar_trials_are_fused_up_to_the_limit() -> None:
    groups = group_trials([replace(NARROW, seed=seed) for seed in range(6)], 784, 10)
    assert sorted(len(group) for group in groups) == [2, CPU_SLOTS]
    assert sorted(index for group in groups for index in group) == list(range(6))


@pytest.mark.parametrize(
    "other",
    [
        replace(NARROW, batch_size=128),
        replace(NARROW, batch_norm="after"),
        replace(NARROW, activation="tanh"),
        replace(NARROW, hidden=()),
        replace(NARROW, hidden=(150,)),
    ],
    ids=["batch size", "batch norm", "activation", "linear", "much wider"],
)
def test_dissimilar_trials_train_alone(other: TrialSpec) -> None:
    assert sorted(group_trials([NARROW, other], 784, 10)) == [[0], [1]]


def test_wide_trials_train_alone() -> None:
    wide = replace(NARROW, hidden=(300, 100))
    assert group_trials([wide, wide], 784, 10) == [[0], [1]]
    assert estimate_gain([wide, wide], 784, 10) == 1


def test_a_group_is_ordered_deepest_first() -> None:
    specs = [NARROW, replace(NARROW, hidden=(32, 16, 8)), replace(NARROW, hidden=(32, 16))]
    assert group_trials(specs, 784, 10) == [[1, 2, 0]]


def test_the_gain_is_that_of_sharing_the_fixed_part() -> None:
    flops, fixed = count_step_flops((32,), 64, 784, 10), 6e6
    expected = 4 * (flops + fixed) / (4 * flops + fixed)
    assert estimate_gain([NARROW] * 4, 784, 10) == pytest.approx(expected)
