"""Prune a trial by its folds: Wilcoxon's signed-rank test against the best trial so far.

After each epoch the trial's scores in the folds are compared with those that the best trial had in
the same folds after the same epoch. The means may differ by chance of one fold; the test asks
whether most folds agree.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import optuna

from harness.config.schema import StudyConfig
from harness.metrics import get_sort_sign
from harness.results import EpochMetrics

LEVEL = 0.05
"""A trial is pruned if folds that are no worse would look so bad with a smaller probability."""
MIN_TRIALS = 5
"""Trials that must be complete, as for the median pruner."""
CURVES = "fold_curves"
"""The attribute of a complete trial with its objective in every fold by epoch."""


class FoldPruner:
    """The pruner `wilcoxon`; with any other it keeps every trial."""

    def __init__(self, config: StudyConfig, study: optuna.Study) -> None:
        self._study = study
        self._is_active = config.study.pruner == "wilcoxon"
        self._unpruned = max(1, config.find_largest("epochs") // 4)
        self._sign = get_sort_sign(config.study.objective)
        self._curves: dict[int, dict[str, Sequence[float]]] = {}
        """By trial and epoch, of trials that run or were the best."""

    def keeps(
        self, number: int, metrics: EpochMetrics, ranking: Sequence[tuple[float, int]]
    ) -> bool:
        """Return whether the trial continues after an epoch; `ranking` is `Search.ranking`."""
        if not self._is_active or metrics.folds is None:
            return True
        self._curves.setdefault(number, {})[str(metrics.epoch)] = metrics.folds
        if metrics.epoch <= self._unpruned or len(ranking) < MIN_TRIALS:
            return True
        best = self._load_curve(ranking[0][1]).get(str(metrics.epoch))
        return best is None or compute_p_value(metrics.folds, best, self._sign) >= LEVEL

    def record(self, number: int) -> None:
        """Record the curves of a trial that is about to be complete, for a study that continues."""
        if self._is_active and number in self._curves:
            trial = self._study.get_trials(deepcopy=False)[number]
            curves = json.dumps(self._curves[number])
            self._study._storage.set_trial_user_attr(trial._trial_id, CURVES, curves)

    def _load_curve(self, number: int) -> dict[str, Sequence[float]]:
        if number not in self._curves:
            trial = self._study.get_trials(deepcopy=False)[number]
            self._curves[number] = json.loads(trial.user_attrs.get(CURVES, "{}"))
        return self._curves[number]


def compute_p_value(folds: Sequence[float], best: Sequence[float], sign: int) -> float:
    """Return the one-sided p-value that a trial is as good as the best in the same folds.

    `sign` is 1 if lower is better, -1 if higher is. 1 if all folds are equal.
    """
    from scipy.stats import wilcoxon

    differences = [sign * (now - then) for now, then in zip(folds, best, strict=True)]
    if not any(differences):
        return 1.0
    test = wilcoxon(differences, alternative="greater", zero_method="zsplit")
    return float(test.pvalue)
