"""The summary's facts about the test set: the score, the accuracy of each class, the baselines."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.analysis.baseline_verdict import judge_baselines
from harness.analysis.fact import Fact
from harness.analysis.formatting import (
    NO_HARDEST_CLASS,
    find_hardest_class,
    format_class_accuracies,
    format_count,
    format_ordinal,
    format_times,
    score_to_dict,
)
from harness.metrics import Score
from harness.models.baselines import ClassBaselineMetrics, Metrics
from harness.tracking.test_reading import TestReading
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


NO_TEST_SET = "none held out: [data] test = 0"
REUSED = (
    "the interval holds only if no earlier result influenced the choice; else the score is "
    "optimistic"
)
"""What an interval means after the test set, or a part of it, was seen."""


def build_test_fact(summary: Summary) -> Fact:
    study, reading, score = summary.study, summary.reading, summary.study.score
    if reading is None and not study.has_test_set:
        return Fact("test", "test set", NO_TEST_SET, NO_TEST_SET, None)
    if reading is None:
        sealed = f"sealed; open it once with: {summary.test_command}"
        return Fact("test", f"{study.test_name} set", sealed, sealed, None)
    more = score.format_other_metrics(reading, reading.loss, reading.mae, reading.r2)
    examples = format_count(reading.examples, "example")
    openings = _describe_openings(study, reading)
    is_undefined = math.isnan(reading.score)
    why = f"; {score.name} needs examples of two classes" if is_undefined else ""
    text = f"{score.format_score(reading)}, {more} ({examples}, {openings}{why})"
    value = {
        "of": study.test_name,
        **score_to_dict(score, study.classes, reading),
        **reading.figures,
        "looks": study.test_set_openings,
        "look": reading.look or None,
        "overlap": list(reading.overlap),
        "copies": reading.copies,
    }
    if hardest := find_hardest_class(study.classes, reading.confusion):
        value |= hardest.to_dict()
    mae = score.format_mae_beside(reading, reading.mae)
    looks = _count_looks(study)
    short = (
        f"{score.format_value(reading.score)}{score.format_interval(reading)}{mae}, {examples}, "
        f"read {format_times(looks)}"
    )
    short += (" in this folder" if looks > 1 else "") + why
    if study.is_grid_or_list and len(study.readings) > 1:
        short += f" for {len(study.readings)} trials"
    if looks > 1:
        short += "; the interval assumes a single reading"
    return Fact("test", study.test_name, text, short, value)


def build_overlap_fact(summary: Summary) -> Fact:
    """Return what was seen of the test examples before; empty for the first opening of new ones."""
    sentences = describe_overlap(summary.reading) if summary.reading else []
    hidden = len(summary.reading.overlap) - 1 if summary.reading else 0
    brief = sentences[:1] + sentences[1 + max(hidden, 0) :]
    if hidden > 0:
        brief.insert(1, f"{hidden} more: --verbose")
    short = "; ".join(sentence for sentence in brief if sentence != REUSED)
    return Fact("test_overlap", "test overlap", "\n".join(sentences), short)


def describe_overlap(reading: TestReading) -> list[str]:
    """Return in sentences what was seen before, copies, and what the interval then means."""
    sentences = list(reading.overlap)
    if reading.copies:
        sentences.append(
            f"{reading.copies:,} of {format_count(reading.examples, 'test example')} "
            f"{'is a copy' if reading.copies == 1 else 'are copies'} of another one; the interval "
            "counts each once"
        )
    if reading.look > 1 or reading.overlap:
        sentences.append(REUSED)
    return sentences


def format_opening(reading: TestReading) -> str:
    """`2nd opening of this test set in this folder`."""
    return f"{format_ordinal(reading.look)} opening of this test set in this folder"


def build_class_fact(summary: Summary) -> Fact:
    study, reading = summary.study, summary.reading
    if reading is None or not study.classes:
        return Fact("classes")
    text = f"on {study.test_name}: {format_class_accuracies(study.classes, reading.confusion)}"
    hardest = find_hardest_class(study.classes, reading.confusion)
    short = hardest.describe() if hardest and hardest.is_clear else NO_HARDEST_CLASS
    return Fact("classes", "classes", text, short)


def _count_looks(study: StudyRun) -> int:
    """Return how often the test set was opened, by this study and by others."""
    return max(study.test_set_openings, *(each.look for each in study.readings), 0)


def _describe_openings(study: StudyRun, reading: TestReading) -> str:
    """Return how often the test set was opened, by this study and by others."""
    openings, readings = study.test_set_openings, len(study.readings)
    look = _count_looks(study)
    look_text = f"{format_ordinal(look)} opening of this test set in this folder"
    if not study.is_grid_or_list:
        return look_text if reading.look or look > 1 else "read once"
    complete = len(study.rank_trials())
    trials = format_count(complete, "trial")
    trials = f"all {trials}" if readings == complete > 1 else f"{readings} of {trials}"
    opened = "one opening" if openings == 1 else f"{openings} openings"
    text = f"{opened} for {trials}; nothing is chosen by it"
    return text if look <= openings else f"{text}; the {look_text}"


def build_baseline_facts(summary: Summary) -> list[Fact]:
    """Return who won, and the scores of simpler models, on the test set if it was read."""
    if summary.baselines is None:
        return []
    verdict, score = judge_baselines(summary), summary.study.score
    facts = [Fact("baselines", value=summary.baselines.to_dict())]
    if verdict is not None:
        metrics = summary.baselines.of_split(verdict.split)
        ranked = sorted(metrics, key=lambda name: score.sign * metrics[name].score)
        texts = ", ".join(_describe_baseline(score, name, metrics[name]) for name in ranked)
        sentence = verdict.describe()
        facts = [
            Fact("best_baseline", "best baseline", sentence, sentence, verdict.to_dict()),
            replace(facts[0], label="baselines", text=f"on {verdict.split_name}: {texts}"),
        ]
    return facts


def _describe_baseline(score: Score, name: str, metrics: Metrics) -> str:
    """`logistic regression accuracy 0.9722 (95 %: 0.8583 to 0.9951), log loss 0.0812`."""
    text = f"{name} {score.format_score(metrics)}"
    if isinstance(metrics, ClassBaselineMetrics):
        text += f", log loss {metrics.log_loss:.4f}"
    if metrics.fitted_on is not None:
        text += f", fitted on {format_count(metrics.fitted_on, 'random example')}"
    return text
