"""The estimate of `--dry-run`: trials share the cores, and other programs take a part of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.executors.devices import count_available_cores
from harness.sweep.dry_run import dry_run
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.time_estimate import (
    TimeEstimate,
    describe_basis,
    describe_time,
    measure_free_share,
)


def test_busy_cores_take_longer() -> None:
    free = TimeEstimate((1.0, 3.0), gain=2.0, workers=2, free_share=1.0)
    assert (free.seconds_a_trial, free.compute_seconds(5), free.compute_most_seconds(5)) == (
        1.0, 3.0, 4.5
    )  # fmt: skip
    busy = TimeEstimate((1.0, 3.0), gain=2.0, workers=2, free_share=0.25)
    assert busy.compute_seconds(5) == 12.0
    assert busy.seconds_a_trial == 1.0, "on a free core"


def test_the_share_is_what_so_many_workers_get() -> None:
    """With four times as many as cores, each gets a quarter at most."""
    assert 0 < measure_free_share(4 * count_available_cores()) <= 0.3


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "1 core is free now"), (0.28, "1 core is only 28 % free now")]
)
def test_the_estimate_says_what_it_is_based_on(share: float, text: str) -> None:
    assert describe_basis(0.5, "CPU, 2 cores", 1, share) == f"0.5 s a trial on a free core; {text}"
    assert "share the device" in describe_basis(0.5, "NVIDIA H200", 1, 1.0)
    assert describe_time(62, 90, is_search=False) == "about 1 min 2 s of training, unpruned"
    assert "1 min 30 s if all trials are as slow" in describe_time(62, 90, is_search=True)


def test_final_trainings_take_their_part(tmp_path: Path) -> None:
    """With 3 folds a trial trains on twice as much as its final model."""
    path = tmp_path / "tiny.toml"
    path.write_text(
        '[study]\nsampler = "grid"\n[data]\nname = "digits"\nfolds = 3\n'
        "[train]\nhidden = [4]\nepochs = 1\n[space]\nlearning_rate = [0.1, 0.03, 0.01]\n"
    )

    def count_trials(*overrides: str) -> float:
        options = RunOptions(overrides=overrides, device="cpu", workers=1, home=tmp_path / "mlruns")
        known = dry_run(make_plan(path, options))
        return round(known["seconds"] * known["free_share"] / known["seconds_a_trial"], 6)

    assert count_trials() == 5, "3 trials, and half as long for each"
    assert count_trials("study.sampler=random") == 4, "3 trials, and half as long for one"
