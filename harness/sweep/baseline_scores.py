"""The baselines' further metrics, and the champion's test against them by the study's objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.analysis.baseline_verdict import find_validated_run
from harness.analysis.final_model import read_model_weights
from harness.engine.class_metrics import (
    compute_class_metrics,
    compute_contributions,
    count_confusion,
    normalize_probabilities,
)
from harness.engine.validation_scores import compute_class_interval, get_class_metric
from harness.errors import StoreError
from harness.metrics import Score
from harness.models.baselines import Metrics
from harness.models.ensemble import get_output_loss
from harness.models.mlp import load_model
from harness.stats.metric_intervals import (
    compute_loss_interval,
    compute_r2_interval,
    compute_unexplained_parts,
)
from harness.stats.regression import compute_paired_p_values, compute_pinball_losses
from harness.sweep.fold_outputs import compute_fold_outputs
from harness.test_set.opening import predict_logits, predict_values
from harness.test_set.selection import Selection
from harness.tracking.types import StudyRun
from harness.trial import TrialSpec

if TYPE_CHECKING:
    from torch import Tensor

    from harness.data.prepare import PreparedDataset
    from harness.data.torch_datasets import Split
    from harness.tracking.base import Tracker

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class BaselineScorer:
    """Measures baselines as the champion is measured."""

    score: Score
    spec: TrialSpec
    """The champion's settings."""
    predict: Callable[[Split], Tensor] | None = None
    """The champion's logits or values on a split, to test it by an objective that is the score;
    None where McNemar's test or that of the squared errors serves, and if its weights were not
    kept."""

    def add_metrics(
        self, metrics: Mapping[str, Metrics], outputs: Mapping[str, Values], split: Split
    ) -> dict[str, Metrics]:
        """Return the baselines' metrics with those that scikit-learn's defaults lack.

        `outputs` are values [n] or class probabilities [n, C].
        """
        return {
            name: replace(each, **self._measure(outputs[name], split))
            for name, each in metrics.items()
        }

    def compute_p_values(self, outputs: Mapping[str, Values], split: Split) -> dict[str, float]:
        """Return the p-value of the champion against each baseline.

        Empty without its model, and for the AUC of examples of one class.
        """
        if self.predict is None:
            return {}
        predicted = self.predict(split)
        if predicted.ndim == 2:
            predicted = normalize_probabilities(self.spec.loss, predicted)
        champion = self._compute_parts(predicted.numpy(), split)
        if np.isnan(champion).any():
            return {}
        parts = [champion - self._compute_parts(each, split) for each in outputs.values()]
        return dict(zip(outputs, compute_paired_p_values(np.stack(parts)), strict=True))

    def _measure(self, outputs: Values, split: Split) -> dict[str, Any]:
        import torch

        labels, interval = split.labels[split.rows], None
        more: dict[str, float] = {}
        if outputs.ndim == 1:
            true = labels.numpy()
            if self.score.metric == "val/quantile_loss":
                losses = compute_pinball_losses(outputs, true, self.spec.quantile)
                more["quantile_loss"] = float(losses.mean())
                interval = compute_loss_interval(losses)
            elif self.score.metric == "val/r2":
                interval = compute_r2_interval(outputs, true)
        else:
            probabilities = torch.from_numpy(outputs)
            predicted = probabilities.argmax(1)
            confusion = count_confusion(labels, predicted, outputs.shape[1])
            more |= compute_class_metrics(probabilities, labels, confusion)
            more.pop("log_loss", None)  # it has a field
            if self.score.objective and (metric := get_class_metric(self.score.objective)):
                interval = compute_class_interval(metric, probabilities, labels, predicted)
        return {"more": more, "score_metric": self.score.objective, "score_interval": interval}

    def _compute_parts(self, outputs: Values, split: Split) -> Values:
        """Return each example's part of the objective [n]."""
        import torch

        labels = split.labels[split.rows]
        if self.score.metric == "val/quantile_loss":
            return compute_pinball_losses(outputs, labels.numpy(), self.spec.quantile)
        if self.score.metric == "val/r2":
            return compute_unexplained_parts(outputs, labels.numpy())
        assert self.score.objective is not None
        metric, probabilities = get_class_metric(self.score.objective), torch.from_numpy(outputs)
        assert metric is not None
        parts = compute_contributions(metric, probabilities, labels, probabilities.argmax(1))
        return np.asarray(parts)


def build_scorer(
    tracker: Tracker,
    study: StudyRun,
    selection: Selection,
    validated: PreparedDataset | None = None,
) -> BaselineScorer:
    """Return the scorer for the validation set of `validated`; None for the test set."""
    run = selection.model_run
    if validated is not None:
        run = find_validated_run(selection.champion, run)
    if study.score.objective is None:
        return BaselineScorer(study.score, run.spec)
    try:
        if validated is not None and study.folds:
            outputs = compute_fold_outputs(validated, run, tracker.load_weights(run.uid))
            return BaselineScorer(study.score, run.spec, lambda split: outputs)
        if validated is not None:
            weights = tracker.load_weights(run.uid)
        else:
            weights = read_model_weights(tracker, study, run)
        model = load_model(run.spec, len(study.classes), weights)
    except StoreError:  # of a champion that is not among the best trials of the search
        return BaselineScorer(study.score, run.spec)
    predict = predict_values if model.is_regression else predict_logits
    spec = replace(run.spec, loss=get_output_loss(model, run.spec.loss))
    return BaselineScorer(study.score, spec, lambda split: predict(model, split))
