"""What a study with folds shows: the score in each fold, and what the model is."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.final_model import FinalModel
from harness.analysis.fold_scores import FoldScores, read_fold_scores
from harness.analysis.summary import Summary, load_summary
from harness.reports.cross_validation_section import build_folds_table
from harness.reports.plots.fold_scores import draw_fold_curves
from harness.reports.study_page import build_study_page
from harness.reports.winner_section import list_figures
from harness.tracking.in_memory import InMemoryTracker
from tests.support import synthetic_study
from tests.support.folded_study import OFFSETS, add_folds

FINAL = FinalModel(epochs=3, examples=1437, seconds=1.5, train_loss=0.1)


@pytest.fixture(scope="module")
def summary() -> Summary:
    study = add_folds(replace(synthetic_study.make_study(12, epochs=3), readings=()))
    tracker = InMemoryTracker()
    plain = load_summary(study, study.rank_trials()[0], tracker, Path("r.html"), "http://h/")
    return replace(plain, final_model=FINAL)


def get_short(summary: Summary, key: str) -> str:
    (fact,) = (each for each in summary.facts if each.key == key)
    return " ".join(fact.short.split())


def test_scores_of_folds_have_a_mean_a_range_and_the_deviation_of_a_sample() -> None:
    scores = FoldScores("val/accuracy", (0.97, 0.99, 0.98))
    assert (scores.mean, scores.deviation) == pytest.approx((0.98, 0.01))
    assert scores.deviation == statistics.stdev(scores.values)
    assert scores.describe_spread() == "0.9700 to 0.9900, sd 0.0100"
    assert FoldScores("val/rmse", (23_000.0, 25_000.0)).describe_spread() == (
        "23,000 to 25,000, sd 1,414"
    )


def test_the_summary_has_the_spread_over_folds_and_what_the_model_is(summary: Summary) -> None:
    score = summary.champion.score
    low, high = score + min(OFFSETS), score + max(OFFSETS)
    deviation = statistics.stdev(OFFSETS)
    complete = len(summary.study.rank_trials())
    spread = f"{low:.4f} to {high:.4f}, sd {deviation:.4f}"
    assert get_short(summary, "validation") == (
        f"{score:.4f} over 4 folds ({spread}), the best of {complete} trials, not corrected for "
        "selection"
    )
    assert get_short(summary, "final_model") == "trained again on all 1,437 examples for 3 epochs"
    facts = summary.to_dict()
    assert facts["folds"]["values"] == pytest.approx([score + offset for offset in OFFSETS])
    assert facts["folds"]["deviation"] == pytest.approx(deviation)
    assert facts["final_model"] == {
        "model": "retrained", "epochs": 3, "examples": 1437, "seconds": 1.5, "train_loss": 0.1
    }  # fmt: skip
    assert f" · validation {score:.4f} over 4 folds · " in summary.markdown()
    assert "| by fold | accuracy " in summary.markdown()
    assert f"{100 * low:.2f} to {100 * high:.2f} %, sd 2.16" in list_figures(summary)[1]["note"]
    assert "no: trained once in each fold" in summary.text()


def test_the_mean_of_the_folds_networks_is_named_as_the_model(summary: Summary) -> None:
    study = add_folds(summary.study, model="folds")
    mean = replace(summary, study=study, champion=study.rank_trials()[0], final_model=None)
    assert get_short(mean, "final_model") == "the mean of the 4 folds' networks"
    assert mean.to_dict()["final_model"] == {"model": "folds"}
    not_trained = replace(summary, final_model=None)
    assert get_short(not_trained, "final_model") == ""


def test_the_objective_is_named_where_it_is_not_the_score(summary: Summary) -> None:
    tables = {**summary.study.definition["study"], "objective": "val/loss"}
    study = replace(summary.study, definition={**summary.study.definition, "study": tables})
    assert " over 4 folds (loss " in get_short(replace(summary, study=study), "validation")


def test_a_study_without_folds_says_nothing_of_them() -> None:
    study = synthetic_study.make_study(12, epochs=3)
    champion = study.rank_trials()[0]
    summary = load_summary(study, champion, InMemoryTracker(), Path("r.html"), "http://h/")
    assert read_fold_scores(study, champion) is None
    assert summary.to_dict()["folds"] is summary.to_dict()["final_model"] is None
    assert "fold" not in summary.text()
    sections = build_study_page(summary).sections
    assert "folds" not in {section.name for section in sections}


def test_the_page_shows_each_fold_and_names_the_folds_validation_sets(summary: Summary) -> None:
    sections = {section.name: section for section in build_study_page(summary).sections}
    section = sections["folds"]
    assert section.values["paragraphs"] == [
        "The model is trained again on all 1,437 examples for 3 epochs."
    ]
    head, first, *_ = build_folds_table(summary)
    assert head == ["trial", "fold 1", "fold 2", "fold 3", "fold 4", "mean", "sd"]
    score = summary.champion.score
    assert first == [
        str(summary.champion.number),
        *(f"{score + offset:.4f}" for offset in OFFSETS), f"{score:.4f}", "0.0216",
    ]  # fmt: skip
    assert [plot.name for plot in section.plots] == ["fold-curves", "fold-scores"]
    *folds, mean = draw_fold_curves(summary.champion, "val/accuracy").data
    assert len(folds) == len(OFFSETS)
    assert list(mean.y) == [epoch.val_accuracy for epoch in summary.champion.epochs]
    texts = [section.text for section in sections.values()]
    assert any("complete trials on the 4 folds' validation sets" in text for text in texts)
    assert any("champion's on the 4 folds' validation sets" in text for text in texts)
    assert not any("on the validation set" in text for text in texts)
