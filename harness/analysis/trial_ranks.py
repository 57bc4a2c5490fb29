"""The order of a finished study's trials in MLflow's UI: the champion first.

MLflow sorts by one metric, and a trial's best validation score is not the order in which harness
ranks: it has ties, and the champion is chosen by a mean over new runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.front import FRONT_METRIC, compute_front_places
from harness.analysis.seed_variance import rank_settings
from harness.tracking.types import RANK_METRIC, RunRecord, StudyRun

SHOWN_TRIALS = 100
"""How many trials get a rank: MLflow loads as many at a time, and each rank is a write."""


def compute_rank_metrics(study: StudyRun, champion: RunRecord) -> dict[str, dict[str, float]]:
    """Return the metrics of trials by uid: the rank, and the mean that it is by, if there is one.

    A trial that an earlier end of the study ranked gets its new rank too.
    """
    means = _compute_means(study)
    suffix = f"{study.objective.replace('/', '_')}_mean"
    mean_name = f"seeds/{suffix}" if study.is_grid_or_list else f"confirm/{suffix}"
    ordered = {run.uid: run for run in (champion, *_order_trials(study))}.values()
    places = compute_front_places(study)
    metrics = {
        run.uid: {RANK_METRIC: rank}
        # Rounded, because MLflow shows every digit.
        | ({mean_name: float(f"{means[run.uid]:.5g}")} if run.uid in means else {})
        for rank, run in enumerate(ordered, 1)
        if rank <= SHOWN_TRIALS or RANK_METRIC in run.metrics
    }
    for uid, place in places.items():
        metrics[uid] = metrics.get(uid, {}) | {FRONT_METRIC: float(place)}
    return metrics


def _order_trials(study: StudyRun) -> Iterator[RunRecord]:
    """Yield the complete trials within [limits], the best settings first; some twice."""
    ranked = study.rank_trials()
    if study.is_grid_or_list:
        places = {run.uid: place for place, run in enumerate(ranked)}
        for each in rank_settings(study):
            if not each.is_outside:
                yield from sorted(each.runs, key=lambda run: places[run.uid])
    else:
        yield from (setting.trial for setting in rank_confirmed_settings(study))
    yield from ranked


def _compute_means(study: StudyRun) -> dict[str, float]:
    """Return the mean objective of repeated settings by the uids of their trials."""
    if not study.is_grid_or_list:
        return {each.trial.uid: each.mean_objective for each in rank_confirmed_settings(study)}
    means: dict[str, float] = {}
    for setting in rank_settings(study):
        values = [run.objective_value(study.objective) for run in setting.runs]
        known = [value for value in values if value is not None]
        if len(known) > 1:
            means |= dict.fromkeys((run.uid for run in setting.runs), statistics.fmean(known))
    return means
