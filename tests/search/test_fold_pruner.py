"""A trial is pruned when its folds agree that it is worse than the best one."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import wilcoxon

from harness.config.loader import load_text
from harness.config.schema import StudyConfig
from harness.errors import ConfigError
from harness.results import EpochMetrics, TrialResult
from harness.search.fold_pruner import MIN_TRIALS, compute_p_value
from harness.search.open_study import open_search
from harness.search.storage.journal import JournalFolder

EPOCHS = 8
STUDY = f"""
[study]
trials = 50
pruner = "wilcoxon"
sampler = "random"
[data]
name = "digits"
folds = 5
[train]
epochs = {EPOCHS}
[space]
learning_rate = {{ low = 1e-4, high = 1e-2, log = true }}
"""
BEST = (0.90, 0.91, 0.92, 0.93, 0.94)


def make_epoch(epoch: int, folds: tuple[float, ...]) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch,
        train_loss=0.5,
        penalty=0.0,
        val_loss=0.5,
        val_accuracy=sum(folds) / len(folds),
        learning_rate=0.1,
        seconds=0.1,
        time=1.7e9,
        folds=folds,
    )


def make_result(epoch: EpochMetrics) -> TrialResult:
    return TrialResult(
        best=epoch,
        epochs=EPOCHS,
        stopped="finished",
        parameters=1,
        seconds=1.0,
        confusion=((1, 0), (0, 1)),
        predictions=b"",
        weights=b"",
    )


@pytest.fixture
def config() -> StudyConfig:
    return load_text(STUDY, "folded.toml")


def test_folds_that_agree_prune_and_folds_that_differ_do_not(
    config: StudyConfig, tmp_path: Path
) -> None:
    """The best trial is compared after the same epoch, also by a driver that continues."""
    studies = JournalFolder(tmp_path)
    with open_search(config, studies) as search:
        for number in range(MIN_TRIALS):
            trial = search.ask()
            for epoch in range(1, EPOCHS + 1):
                shift = 0.01 * (epoch - EPOCHS) - 0.002 * number
                metrics = make_epoch(epoch, tuple(each + shift for each in BEST))
                assert search.report(trial.number, metrics), "too few trials are complete"
            search.tell_result(trial.number, make_result(metrics))
    with open_search(config, studies) as search:  # another driver
        number = search.ask().number
        assert search.report(number, make_epoch(2, (0.0,) * 5)), "in the first quarter"
        for epoch, lead, other, keeps in (
            (5, -0.001, 0.0, False),  # all five folds are worse
            (6, -0.001, 0.1, True),  # one fold is better
            (7, 0.001, 0.0, True),
        ):
            folds = tuple(each + 0.01 * (epoch - EPOCHS) + lead for each in BEST)
            now = make_epoch(epoch, (*folds[:4], folds[4] + other))
            assert search.report(number, now) == keeps


def test_the_p_value_is_that_of_scipy() -> None:
    now, best = (0.1, 0.5, 0.2, 0.3, 0.4, 0.35), (0.2, 0.4, 0.5, 0.6, 0.5, 0.45)
    expected = wilcoxon(best, now, alternative="greater").pvalue
    assert compute_p_value(now, best, -1) == pytest.approx(expected)
    assert compute_p_value(now, now, -1) == 1.0
    assert compute_p_value((0.8, 0.7, 0.9, 0.6, 0.5), (1.0,) * 5, 1) == pytest.approx(1.0)
    assert compute_p_value((0.8, 0.7, 0.9, 0.6, 0.5), (1.0,) * 5, -1) == pytest.approx(1 / 32)


def test_too_few_folds_are_refused() -> None:
    text = STUDY.replace("folds = 5", "folds = 4")
    with pytest.raises(ConfigError, match=r"\[study\] pruner: wilcoxon needs \[data\] folds = 5"):
        load_text(text, "folded.toml")
