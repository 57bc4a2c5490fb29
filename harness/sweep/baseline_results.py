"""Record a study's baselines, and the champion's paired test against each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.baseline_verdict import find_validated_run
from harness.analysis.final_model import read_model_weights
from harness.analysis.paired_tests import read_predictions, run_paired_tests
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.models import baseline_fits
from harness.models.baseline_fits import FittedBaselines, Values
from harness.models.baselines import (
    BASELINES_FILE,
    Baselines,
    ChampionTest,
    Metrics,
    with_champion_tests,
)
from harness.models.mlp import load_model
from harness.sweep.baseline_scores import BaselineScorer, build_scorer
from harness.sweep.fold_outputs import join_validation_sets, select_final_files
from harness.test_set.opening import predict_outputs
from harness.test_set.selection import Selection
from harness.tracking.predictions import Predictions
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.data.torch_datasets import Split
    from harness.tracking.base import Tracker


def record_validation_baselines(
    prepared: PreparedDataset, tracker: Tracker, study: StudyRun, selection: Selection
) -> None:
    """Fit the baselines and record their results on the validation set; not for images."""
    if (results := _validate_baselines(prepared, tracker, study, selection)) is not None:
        tracker.log_file(study.uid, BASELINES_FILE, results[1].to_json())


def fit_for_test(
    prepared: PreparedDataset, tracker: Tracker, study: StudyRun, selection: Selection
) -> Callable[[Split], None] | None:
    """Fit the baselines; return a callback that tests them on the opened test set.

    None for classes of images, which have no baselines.
    """
    results = _validate_baselines(prepared, tracker, study, selection)
    if results is None:
        return None
    fitted, validation = results
    run = selection.model_run
    model = load_model(run.spec, len(study.classes), read_model_weights(tracker, study, run))

    def record(test: Split) -> None:
        predicted = predict_outputs(model, test).numpy()
        champion = _pack(predicted, test)
        scorer = build_scorer(tracker, study, selection)
        outputs = baseline_fits.predict(fitted, test)
        metrics = _evaluate(outputs, fitted.fitted_on, test, champion, run.uid, scorer)
        both = validation.with_split("test", metrics)
        tracker.log_file(study.uid, BASELINES_FILE, both.to_json())

    return record


def _validate_baselines(
    prepared: PreparedDataset, tracker: Tracker, study: StudyRun, selection: Selection
) -> tuple[FittedBaselines, Baselines] | None:
    """Return the fitted baselines and their results on the validation set.

    With folds, those of each fold are validated; the returned ones are fitted on all examples.
    """
    splits = load_splits(select_final_files(prepared).training)
    if not baseline_fits.has_baselines(splits):
        return None
    is_quantile = study.score.metric == "val/quantile_loss"
    quantile = selection.champion.spec.quantile if is_quantile else None
    fitted = baseline_fits.fit_baselines(splits, quantile)
    folds = [load_splits(each) for each in prepared.training.folds]
    if folds:
        by_fold = [
            baseline_fits.predict(baseline_fits.fit_baselines(each, quantile), each.validation)
            for each in folds
        ]
        outputs = {name: np.concatenate([each[name] for each in by_fold]) for name in by_fold[0]}
    else:
        outputs = baseline_fits.predict(fitted, splits.validation)
    run = find_validated_run(selection.champion, selection.model_run)
    champion = read_predictions(tracker, run)
    scorer = build_scorer(tracker, study, selection, prepared)
    split = join_validation_sets(prepared.training)
    metrics = _evaluate(outputs, fitted.fitted_on, split, champion, run.uid, scorer)
    return fitted, Baselines({"validation": metrics})


def _evaluate(
    outputs: Mapping[str, Values],
    fitted_on: int | None,
    split: Split,
    champion: Predictions | None,
    run: str,
    scorer: BaselineScorer,
) -> dict[str, Metrics]:
    """Return the metrics of each baseline's outputs on a split, with the champion's test against
    it.
    """
    metrics = {
        name: baseline_fits.measure(each, split, fitted_on) for name, each in outputs.items()
    }
    metrics = scorer.add_metrics(metrics, outputs, split)
    if champion is None:
        return metrics
    packed = [_pack(each.argmax(1) if each.ndim == 2 else each, split) for each in outputs.values()]
    p_values = scorer.compute_p_values(outputs, split)
    tests = {
        name: ChampionTest(
            run,
            test.examples,
            test.only_first,
            test.only_second,
            p_values.get(name, test.p_value),
        )
        for name, test in zip(outputs, run_paired_tests(champion, packed), strict=True)
        if test is not None and (p_values or scorer.score.objective is None)
    }
    return with_champion_tests(metrics, tests)


def _pack(predicted: np.ndarray, split: Split) -> Predictions:
    """Return predicted classes or values [n] with the true ones, as they are recorded."""
    true = split.labels[split.rows].numpy()
    is_regression = true.dtype.kind == "f"
    dtype = np.float32 if is_regression else np.uint8
    return Predictions(
        true.astype(dtype).tobytes(), predicted.astype(dtype).tobytes(), is_regression
    )
