"""The ranks by which MLflow's UI sorts a finished study's trials."""

from __future__ import annotations

from dataclasses import replace

from harness.analysis.trial_ranks import SHOWN_TRIALS, compute_rank_metrics
from harness.tracking.types import RANK_METRIC
from tests.reports.test_plots import make_run, make_study


def test_the_champion_is_first_then_confirmed_trials_by_their_means() -> None:
    """Trial 2 has a better validation score than the champion, trial 3 the same."""
    trials = [make_run(number, value) for number, value in enumerate((0.8, 0.9, 0.95, 0.9))]
    trials.append(make_run(4, 0.7, "PRUNED"))
    again = [
        replace(make_run(number, mean), uid=f"u/confirm/{number}.1", split=1)
        for number, mean in ((1, 0.93211111), (2, 0.9), (3, 0.9))
    ]
    study = replace(make_study(trials), confirmation_runs=again, facts={"confirm": "yes"})
    metrics = compute_rank_metrics(study, trials[1])
    assert metrics == {
        "u/1": {RANK_METRIC: 1, "confirm/val_accuracy_mean": 0.93211},
        "u/2": {RANK_METRIC: 2, "confirm/val_accuracy_mean": 0.9},
        "u/3": {RANK_METRIC: 3, "confirm/val_accuracy_mean": 0.9},
        "u/0": {RANK_METRIC: 4},
    }


def test_the_trials_of_a_grid_are_ranked_by_the_mean_of_their_setting() -> None:
    values = {(0, 1): 0.99, (0, 2): 0.5, (1, 1): 0.9, (1, 2): 0.91}
    trials = [
        make_run(number, value, dropout=0.1 * setting, seed=seed)
        for number, ((setting, seed), value) in enumerate(values.items())
    ]
    study = make_study(trials, {"dropout": [0.0, 0.1]})
    study = replace(study, definition={**study.definition, "study": {**GRID}})
    metrics = compute_rank_metrics(study, trials[3])
    assert list(metrics) == ["u/3", "u/2", "u/0", "u/1"]
    assert {each.get("seeds/val_accuracy_mean") for each in metrics.values()} == {0.905, 0.745}


GRID = {"objective": "val/accuracy", "sampler": "grid"}


def test_only_the_trials_of_the_first_page_get_a_rank() -> None:
    """Unless they have one from an earlier end of the study, which is now wrong."""
    trials = [make_run(number, 1 - number / 1000) for number in range(SHOWN_TRIALS + 5)]
    last = trials[-1]
    trials[-1] = replace(last, metrics={**last.metrics, RANK_METRIC: 3})
    metrics = compute_rank_metrics(make_study(trials), trials[0])
    assert len(metrics) == SHOWN_TRIALS + 1
    assert metrics[last.uid] == {RANK_METRIC: SHOWN_TRIALS + 5}
