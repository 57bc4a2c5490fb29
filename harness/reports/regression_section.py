"""The section on a regression's predictions: their errors, compared with simpler models."""

from __future__ import annotations

from harness.analysis.summary import Summary
from harness.metrics import HasScore, Score
from harness.reports.page import Section
from harness.reports.plots.registry import build_section_plots
from harness.reports.plots.regression import load_predictions

Measures = tuple[HasScore, float, float]
"""What has an RMSE, its MAE and its R2."""


def build_regression_sections(summary: Summary) -> list[Section]:
    """Return the section; none if no predictions were recorded."""
    predictions = load_predictions(summary)
    if not predictions:
        return []
    return [
        Section(
            name="predicted",
            title="Predicted versus true",
            text="Each dot is an example. On the line the prediction is exact, above it too high. "
            "Residuals that fan out or curve show what the model has not learned.",
            template="table",
            values={
                "paragraphs": [split.describe() for split in predictions],
                "table": build_baselines_table(summary),
            },
            plots=build_section_plots("predicted", summary),
        )
    ]


def build_baselines_table(summary: Summary) -> list[list[str]]:
    """Return a row for the champion and each baseline: RMSE and MAE with intervals, and R2."""
    score, baselines, reading = summary.study.score, summary.baselines, summary.reading
    splits = {"validation": "validation"}
    if reading is not None:
        splits["test"] = summary.study.test_name
    head = [
        f"{measure} on {name}" for name in splits.values() for measure in (score.name, "MAE, R2")
    ]
    model: dict[str, Measures] = {}
    run, best = summary.model_run, summary.model_run.best
    if best is not None and best.val_mae is not None and best.val_r2 is not None:
        model["validation"] = run, best.val_mae, best.val_r2
    if reading is not None and reading.mae is not None and reading.r2 is not None:
        model["test"] = reading, reading.mae, reading.r2
    rows = [["this study's model", *_format_cells(score, splits, model)]]
    if baselines is not None:
        last = baselines.of_split(list(splits)[-1])
        for name in sorted(last, key=lambda name: last[name].rmse):
            known: dict[str, Measures] = {
                split: (baseline, baseline.mae, baseline.r2)
                for split in splits
                if (baseline := baselines.of_split(split).get(name)) is not None
            }
            rows.append([name, *_format_cells(score, splits, known)])
    return [["", *head], *rows]


def _format_cells(score: Score, splits: dict[str, str], known: dict[str, Measures]) -> list[str]:
    cells = []
    for split in splits:
        if split not in known:
            cells += ["", ""]
            continue
        scored, mae, r2 = known[split]
        cells.append(f"{score.format_value(scored.score)}{score.format_interval(scored)}")
        cells.append(f"{score.format_mae(scored, mae).removeprefix('MAE ')}, {r2:.4f}")
    return cells
