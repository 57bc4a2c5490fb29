"""`harness compare` on records in memory: selection of trials, paired tests, errors."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.comparison import compare
from harness.analysis.paired_tests import PairedTest, run_paired_test
from harness.analysis.summary import load_summary
from harness.errors import HarnessError, StudyError, UserError
from harness.reports.comparison_page import build_comparison_page, get_page_path
from harness.results import TrialFailure
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.predictions import Predictions
from harness.tracking.types import CONFIRM_INFIX
from harness.trial import Trial, TrialSpec
from harness.workspace import Workspace
from tests.support.compared_trials import RECORD, TRUE, finish, wrong_at


@pytest.fixture
def tracker() -> InMemoryTracker:
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    finish(tracker, "u1", 0, wrong_at(0, 1, 2), 8)
    finish(tracker, "u1", 1, wrong_at(0), 16, seed=0)
    broken = Trial(number=2, uid="u1/2", spec=TrialSpec())
    tracker.start_trial(broken)
    tracker.finish_trial(
        broken, "FAILED", outcome=TrialFailure(reason="diverged"), reason="diverged"
    )
    tracker.open_study(replace(RECORD, name="two", uid="u2"))
    finish(tracker, "u2", 0, wrong_at(*range(5, 17)), 8, seed=0)
    tracker.open_study(replace(RECORD, name="other", uid="u3", facts={"split_hash": "another"}))
    finish(tracker, "u3", 0, wrong_at(3), 8)
    return tracker


def test_a_study_name_selects_its_champion(tracker: InMemoryTracker) -> None:
    comparison = compare(tracker, ["one", "two"])
    assert [side.name for side in comparison.sides] == ["one/1", "two/0"]
    assert comparison.differing == {"hidden": ("16", "8")}
    (test,) = comparison.against_first
    assert test is not None
    assert (test.examples, test.only_first, test.only_second) == (40, 12, 1)
    assert comparison.p_values[0] == pytest.approx(0.00341796875)
    assert "a significant difference on 40 examples" in comparison.describe_test(0)


def test_equal_predictions_are_called_so(tracker: InMemoryTracker) -> None:
    tracker.open_study(RECORD)
    finish(tracker, "u1", 3, wrong_at(0), 32)
    same = compare(tracker, ["one/1", "one/3"]).describe_test(0)
    assert same == "no difference on 40 examples: A and B have the same right"


def test_trial_names_and_run_ids_select_trials(tracker: InMemoryTracker) -> None:
    run_id = "0123456789abcdef" * 2
    tracker.runs["u2/0"] = replace(tracker.runs["u2/0"], run_id=run_id)
    tracker.files[run_id] = tracker.files["u2/0"]
    comparison = compare(tracker, ["one/0", run_id])
    assert [side.name for side in comparison.sides] == ["one/0", "two/0"]
    assert comparison.against_first[0] is not None


def test_p_values_of_several_are_adjusted(tracker: InMemoryTracker) -> None:
    comparison = compare(tracker, ["one", "one/0", "two"])
    assert comparison.p_values == (pytest.approx(0.5), pytest.approx(2 * 0.00341796875))


def test_trials_on_different_examples_are_not_tested(tracker: InMemoryTracker) -> None:
    comparison = compare(tracker, ["one", "other"])
    assert comparison.against_first == (None,)
    assert comparison.describe_test(0).startswith("not tested")
    assert comparison.differing["split"] == ("same", "another")
    assert run_paired_test(None, Predictions(TRUE, TRUE)) is None
    assert run_paired_test(Predictions(TRUE[1:], TRUE[1:]), Predictions(TRUE, TRUE)) is None


def test_the_runner_up_may_be_the_more_accurate_one() -> None:
    tracker = InMemoryTracker()
    by_loss = replace(RECORD, definition=RECORD.definition | {"study": {"objective": "val/loss"}})
    tracker.open_study(by_loss)
    finish(tracker, "u1", 0, wrong_at(*range(20)), 8)
    finish(tracker, "u1", 1, wrong_at(0), 8)
    study = tracker.read_study("one")
    assert study is not None
    summary = load_summary(study, study.trials[0], tracker, Path("r.html"), "http://h/")
    assert summary.runner_up is not None
    text = summary.runner_up.describe(study.score)
    assert "a significant difference in the runner-up's favour on 40" in text


def test_identical_predictions_have_p_value_1() -> None:
    same = Predictions(TRUE, wrong_at(1))
    assert run_paired_test(same, same) == PairedTest(40, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one"], "two to eight names, not 1"),
        (["one", "one/1"], "one/1 and one are the same trial, one/1"),
        (["one", "tow"], "no study 'tow' on record; did you mean 'two'"),
        (["one", "one/7"], "no trial '7' in study 'one'; its trials are 0 to 2"),
        (["one", "one/2"], "one/2 has no result: it is failed (diverged)"),
        (["one", "f" * 32], "no run of harness has the id ffff"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(
    tracker: InMemoryTracker, names: list[str], message: str
) -> None:
    with pytest.raises(HarnessError) as raised:
        compare(tracker, names)
    assert message in str(raised.value)
    assert isinstance(raised.value, UserError | StudyError)
    assert raised.value.exit_status == 2


def test_the_page_highlights_all_sides(tracker: InMemoryTracker) -> None:
    text = build_comparison_page(compare(tracker, ["one", "two", "one/0"])).render_inline()
    page_data = json.loads(text.split('id="page-data">')[1].split("</script>")[0])
    assert page_data["selected"] == ["A", "B", "C"]
    assert page_data["trials"]["B"] == "B · two/0"
    (curve,) = (plot for plot in page_data["plots"] if plot["name"] == "val-accuracy")
    assert curve["data"][0]["customdata"] == ["A", None, "B", None, "C", None]
    (bars,) = (plot for plot in page_data["plots"] if plot["name"] == "differences")
    assert [trace["name"] for trace in bars["data"]] == ["B · two/0", "C · one/0"]


def test_the_path_of_the_page_is_plain(tracker: InMemoryTracker, tmp_path: Path) -> None:
    """A confirmation run is called `one/0 (seed 0)`; a shell should take its path as it is."""
    comparison = compare(tracker, ["one/0", "one/1"])
    sides = tuple(
        replace(side, run=replace(side.run, uid=f"u1{CONFIRM_INFIX}{side.letter}"))
        for side in comparison.sides
    )
    path = get_page_path(Workspace(tmp_path), replace(comparison, sides=sides), "sqlite:///x.db")
    assert re.fullmatch(r"one-0-seed-0-vs-one-1-seed-0-[0-9a-f]{8}", path.parent.name)
