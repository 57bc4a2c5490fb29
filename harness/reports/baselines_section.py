"""The champion beside simpler models: a table, and who won."""

from __future__ import annotations

from harness.analysis.baseline_verdict import find_validated_run, judge_baselines
from harness.analysis.formatting import format_count
from harness.analysis.summary import Summary
from harness.metrics import OBJECTIVE_NAMES, Score
from harness.models.baselines import (
    LIGHTGBM,
    XGBOOST,
    BaselineMetrics,
    Baselines,
    ClassBaselineMetrics,
)
from harness.reports.page import Section
from harness.results import EpochMetrics, HasScore, Objective
from harness.tracking.test_reading import TestReading

Cells = list[str]
"""The score of one model on one split with its interval, and its other metrics."""


def build_baselines_sections(summary: Summary) -> list[Section]:
    """Return the section of a classification; none without recorded baselines.

    A regression shows the same beside its predictions.
    """
    if summary.baselines is None or not summary.study.classes:
        return []
    sets = "set"
    if summary.study.folds:
        sets = "sets: for validation on those of each fold, for the test set on all their examples"
    return [
        Section(
            name="baselines",
            title="Compared with simpler models",
            text=f"The baselines are {_list_packages(summary.baselines)} with their default "
            f"settings, fitted on the same training {sets}. The test compares the same examples in "
            "pairs.",
            template="table",
            values={
                "paragraphs": describe_baselines(summary),
                "table": build_baselines_table(summary),
            },
        )
    ]


def _list_packages(baselines: Baselines) -> str:
    """Return `scikit-learn's`, or `scikit-learn's and LightGBM's`."""
    names = {name for by_name in baselines.by_split.values() for name in by_name}
    boosters = [f"{name}'s" for name in (XGBOOST, LIGHTGBM) if name in names]
    *first, last = ["scikit-learn's", *boosters]
    return f"{', '.join(first)} and {last}" if first else last


def describe_baselines(summary: Summary) -> list[str]:
    """Return who won, and on how many examples the baselines were fitted if not on all."""
    verdict = judge_baselines(summary)
    if verdict is None:
        return []
    sentence = verdict.describe()
    texts = [f"{sentence[0].upper()}{sentence[1:]}."]
    if (count := verdict.metrics.fitted_on) is not None:
        texts.append(f"The baselines were fitted on {format_count(count, 'random example')}.")
    return texts


def build_baselines_table(summary: Summary) -> list[list[str]]:
    """Return a row for the champion and each baseline, with intervals, the best baseline first."""
    score, baselines, reading = summary.study.score, summary.baselines, summary.reading
    splits = {"validation": "validation"}
    if reading is not None:
        splits["test"] = summary.study.test_name
    others = "log loss" if score.task == "classes" else "MAE, R2"
    if score.objective is not None:
        others = ", ".join(_list_other_names(score))
    head = [f"{measure} on {name}" for name in splits.values() for measure in (score.name, others)]
    run = summary.model_run
    if baselines is not None:
        run = find_validated_run(summary.champion, run)
    is_log_loss = run.spec.loss == "cross-entropy"
    model: dict[str, Cells] = {}
    if run.best is not None:
        model["validation"] = _format_cells(score, run, run.best, is_log_loss)
    if reading is not None:
        model["test"] = _format_cells(score, reading, reading, is_log_loss)
    rows = [["this study's model", *_join(splits, model)]]
    if baselines is not None:
        last = baselines.of_split(list(splits)[-1])
        for name in sorted(last, key=lambda name: score.sign * last[name].score):
            known = {
                split: _format_cells(score, baseline, baseline)
                for split in splits
                if (baseline := baselines.of_split(split).get(name)) is not None
            }
            rows.append([name, *_join(splits, known)])
    return [["", *head], *rows]


def _join(splits: dict[str, str], known: dict[str, Cells]) -> Cells:
    return [cell for split in splits for cell in known.get(split, ["", ""])]


def _list_other_names(score: Score) -> list[str]:
    """List the metrics beside an objective that is the score."""
    fields: tuple[Objective, ...] = ("val/rmse", "val/mae", "val/r2")
    if score.task == "classes":
        fields = ("val/accuracy", "val/log_loss")
    return [OBJECTIVE_NAMES[field] for field in fields if field != score.metric]


def _format_cells(
    score: Score,
    scored: HasScore,
    metrics: EpochMetrics | TestReading | BaselineMetrics | ClassBaselineMetrics,
    is_log_loss: bool = True,
) -> Cells:
    """Return the cells of a model; its loss is shown if it is the cross-entropy."""
    value = f"{score.format_value(scored.score)}{score.format_interval(scored)}"
    if score.objective is not None:
        return [value, _format_others(score, metrics)]
    match metrics:
        case BaselineMetrics() | TestReading():
            mae, r2, loss = metrics.mae, metrics.r2, getattr(metrics, "loss", None)
        case EpochMetrics():
            mae, r2, loss = metrics.val_mae, metrics.val_r2, metrics.val_loss
        case ClassBaselineMetrics():
            mae, r2, loss = None, None, metrics.log_loss
    if score.task == "classes":
        return [value, f"{loss:.4f}" if loss is not None and is_log_loss else ""]
    if mae is None or r2 is None:
        return [value, ""]
    return [value, f"{score.format_mae(scored, mae).removeprefix('MAE ')}, {r2:.4f}"]


def _format_others(
    score: Score, metrics: EpochMetrics | TestReading | BaselineMetrics | ClassBaselineMetrics
) -> str:
    """Return the values of `_list_other_names`, without intervals."""
    if isinstance(metrics, EpochMetrics):
        values = {name.removeprefix("val_"): value for name, value in metrics.to_dict().items()}
    elif isinstance(metrics, TestReading):
        values = metrics.figures
    else:
        values = {**vars(metrics), **metrics.more}
    texts = []
    for name in _list_other_names(score):
        field = name.lower().replace(" ", "_")
        text = score.tested.format_value(values[field])
        texts.append(f"{values[field]:.4f}" if name == "R2" else text)
    return ", ".join(texts)
