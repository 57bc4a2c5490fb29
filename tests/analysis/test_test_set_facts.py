"""The summary's sentences on the test set: openings, overlap, copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.analysis.summary import Summary, load_summary
from harness.analysis.test_set_facts import REUSED
from harness.reports.uncertainty_section import build_uncertainty_section
from harness.tracking.in_memory import InMemoryTracker
from tests.support import synthetic_study

OVERLAP = (
    "20 % of these were tested",
    "80 % of these were trained on",
    "1 other split overlaps too",
)


def make_summary(**changes: object) -> Summary:
    """Return the summary of a study whose reading of the test set has these fields."""
    study = synthetic_study.make_study(3, epochs=2)
    readings = tuple(replace(each, **changes) for each in study.readings)  # type: ignore[arg-type]
    study = replace(study, readings=readings)
    champion = study.rank_trials()[0]
    return load_summary(study, champion, InMemoryTracker(), Path("r.html"), "http://h/")


def read_facts(summary: Summary) -> tuple[str, str, str]:
    """Return the short text of the score, that of the overlap, and the whole overlap."""
    facts = {fact.key: fact for fact in summary.facts}
    return facts["test"].short, facts["test_overlap"].short, facts["test_overlap"].text


def test_a_first_opening_of_new_examples_has_no_overlap() -> None:
    summary = make_summary(look=1)
    score, short, text = read_facts(summary)
    assert score.endswith("examples, read once")
    assert (short, text) == ("", "")
    assert "had no influence on it" in build_uncertainty_section(summary).text


def test_a_later_opening_shows_what_was_seen_and_whose_interval_it_is() -> None:
    summary = make_summary(look=3, overlap=OVERLAP, copies=2)
    score, short, text = read_facts(summary)
    assert score.endswith("read 3 times in this folder; the interval assumes a single reading")
    copies = "2 of 10,000 test examples are copies of another one; the interval counts each once"
    assert short == f"20 % of these were tested; 2 more: --verbose; {copies}"
    assert text.splitlines() == [*OVERLAP, copies, REUSED]
    section = build_uncertainty_section(summary).text
    assert "It was the 3rd opening of this test set in this folder. 20 % of these were" in section
    assert "The interval holds only if no earlier result influenced the choice" in section
    value = summary.to_dict()["test"]
    assert (value["look"], value["overlap"], value["copies"]) == (3, list(OVERLAP), 2)


def test_training_examples_of_an_earlier_study_are_shown_at_a_first_opening() -> None:
    score, short, text = read_facts(make_summary(look=1, overlap=OVERLAP[1:2]))
    assert score.endswith("read once")
    assert short == OVERLAP[1]
    assert text.splitlines() == [OVERLAP[1], REUSED]
