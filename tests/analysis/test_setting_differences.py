"""Settings of a grid or list: the chance of seeds is in the intervals of their differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.contenders import Contenders
from harness.analysis.setting_differences import compare_recorded_settings
from harness.tracking.in_memory import InMemoryTracker
from tests.support.compared_trials import RECORD, finish, wrong_at

GRID = {
    "study": {"objective": "val/accuracy", "sampler": "grid", "seed": 0},
    "space": {"hidden": [[8], [9]]},
}


def compare(*settings: tuple[int, ...]) -> Contenders:
    """Each setting has a number of wrong predictions for each seed."""
    tracker = InMemoryTracker()
    tracker.open_study(replace(RECORD, definition=RECORD.definition | GRID))
    number = 0
    for width, seeds in enumerate(settings, 8):
        for seed, wrong in enumerate(seeds):
            finish(tracker, "u1", number, wrong_at(*range(wrong)), width, seed=seed)
            number += 1
    study = tracker.read_study("one")
    assert study is not None
    contenders = compare_recorded_settings(tracker, study)
    assert contenders is not None
    return contenders


def test_seeds_widen_the_intervals() -> None:
    equal, spread = compare((2, 2), (4, 4)), compare((0, 4), (1, 7))
    assert equal.visible_difference < spread.visible_difference
    pooled = (2 * 2**2 + 2 * 3**2) / 2 / 40**2
    scores = np.mean([np.arange(40) < 0, np.arange(40) < 4], 0)
    others = np.mean([np.arange(40) < 1, np.arange(40) < 7], 0)
    leads = others - scores
    center = leads.sum() / 42
    examples = ((np.square(leads).sum() + 1) / 42 - center**2) / 42
    half = 1.959964 * np.sqrt(examples + pooled * (1 / 2 + 1 / 2))
    assert spread.visible_difference == pytest.approx(half)


def test_a_setting_of_which_one_seed_is_left_has_the_seed_variance_of_the_others() -> None:
    both, one = compare((0, 4), (3, 3)), compare((0, 4), (3,))
    assert "has one seed" not in one.describe()
    assert one.visible_difference > both.visible_difference


def test_one_seed_each_has_no_seed_variance() -> None:
    assert (
        "each setting has one seed, whose chance is not in this" in compare((0,), (3,)).describe()
    )
