"""The summary's facts about a cross-validation: the scores by fold, and what the model is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.analysis.fact import Fact
from harness.analysis.fold_scores import read_fold_scores
from harness.analysis.formatting import format_count
from harness.tracking.types import CONFIRM_INFIX

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


def build_fold_fact(summary: Summary) -> Fact:
    """Return the objective of the model's run in each fold; empty without folds."""
    scores = read_fold_scores(summary.study, summary.model_run)
    if scores is None:
        return Fact("folds", value=None)
    values = ", ".join(map(scores.format, scores.values))
    whose = "of the kept model: " if summary.confirmation is not None else ""
    text = (
        f"{whose}{scores.name} {values}; mean {scores.format(scores.mean)}, standard deviation "
        f"{scores.format(scores.deviation)} (not a standard error: the folds share training "
        "examples)"
    )
    return Fact("folds", "by fold", text, value=scores.to_dict())


def build_final_model_fact(summary: Summary) -> Fact:
    """Return what the registered model is; empty without folds, and before it is trained."""
    study, final = summary.study, summary.final_model
    if not study.folds:
        return Fact("final_model", value=None)
    if not study.is_retrained:
        text = describe_final_model(summary)
        return Fact("final_model", "final model", text, text, {"model": "folds"})
    if final is None:
        return Fact("final_model", value=None)
    text = describe_final_model(summary)
    full = f"{text}; no example is left to validate it, so its validation score is the folds'"
    value = {"model": "retrained", **asdict(final)}
    return Fact("final_model", "final model", full, text, value)


def describe_final_model(summary: Summary) -> str:
    """`trained again on all 1,437 examples for 34 epochs`, or `the mean of the 5 folds' networks`.

    If a confirmation run chose the number of epochs, it is named. Empty without folds, and before
    the final model is trained.
    """
    study, final = summary.study, summary.final_model
    if study.folds and not study.is_retrained:
        return f"the mean of the {study.folds} folds' networks"
    if final is None:
        return ""
    examples, epochs = format_count(final.examples, "example"), format_count(final.epochs, "epoch")
    text = f"trained again on all {examples} for {epochs}"
    if summary.confirmation is not None and CONFIRM_INFIX in summary.model_run.uid:
        text += f", the best epoch of its run with seed {summary.model_run.spec.seed}"
    return text


def note_tested_model(summary: Summary) -> str:
    """Return that the tested model is not a fold's, to follow a comparison with its test score."""
    bias = summary.selection_bias
    if bias is None or bias.test_score is None or not summary.study.folds:
        return ""
    if summary.study.is_retrained:
        return "; the tested model has more training examples than the folds' networks"
    return "; the tested model is the mean of the folds' networks"
