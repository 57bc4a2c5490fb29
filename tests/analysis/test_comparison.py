"""`harness compare` on a record in memory: whom it finds, what it tests, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.comparison import compare
from harness.analysis.paired_tests import Paired, paired
from harness.analysis.summary import Summary
from harness.errors import HarnessError, StudyError, UserError
from harness.reports.comparison_page import report
from harness.results import TrialFailure
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.predictions import Predictions
from harness.trial import Trial, TrialSpec
from tests.support.compared_trials import RECORD, TRUE, finish, wrong_at


@pytest.fixture
def tracker() -> InMemoryTracker:
    made = InMemoryTracker()
    made.open_study(RECORD)
    finish(made, "u1", 0, wrong_at(0, 1, 2), 8)
    finish(made, "u1", 1, wrong_at(0), 16)
    broken = Trial(number=2, uid="u1/2", spec=TrialSpec())
    made.start_trial(broken)
    made.finish_trial(broken, "FAILED", outcome=TrialFailure(reason="diverged"), reason="diverged")
    made.open_study(replace(RECORD, name="two", uid="u2"))
    finish(made, "u2", 0, wrong_at(*range(5, 17)), 8)
    made.open_study(replace(RECORD, name="other", uid="u3", facts={"split_hash": "another"}))
    finish(made, "u3", 0, wrong_at(3), 8)
    return made


def test_a_study_stands_for_its_champion(tracker: InMemoryTracker) -> None:
    found = compare(tracker, ["one", "two"])
    assert [side.name for side in found.sides] == ["one/1", "two/0"]
    assert found.differing == {"hidden": ("16", "8")}
    (only,) = found.against_first
    assert only is not None
    assert (only.examples, only.only_first, only.only_second) == (40, 12, 1)
    assert found.p[0] == pytest.approx(0.00341796875)
    assert "a difference that shows on 40 examples" in found.verdict(0)


def test_trials_and_run_ids_are_found_too(tracker: InMemoryTracker) -> None:
    run_id = "0123456789abcdef" * 2
    tracker.runs["u2/0"] = replace(tracker.runs["u2/0"], run_id=run_id)
    tracker.files[run_id] = tracker.files["u2/0"]
    found = compare(tracker, ["one/0", run_id])
    assert [side.name for side in found.sides] == ["one/0", "two/0"]
    assert found.against_first[0] is not None


def test_p_values_of_several_are_adjusted(tracker: InMemoryTracker) -> None:
    found = compare(tracker, ["one", "one/0", "two"])
    assert found.p == (pytest.approx(0.5), pytest.approx(2 * 0.00341796875))


def test_other_examples_are_not_paired(tracker: InMemoryTracker) -> None:
    found = compare(tracker, ["one", "other"])
    assert found.against_first == (None,)
    assert found.verdict(0).startswith("not tested")
    assert found.differing["split"] == ("same", "another")
    assert paired(None, Predictions(TRUE, TRUE)) is None
    assert paired(Predictions(TRUE[1:], TRUE[1:]), Predictions(TRUE, TRUE)) is None


def test_the_runner_up_may_be_the_more_accurate_one() -> None:
    made = InMemoryTracker()
    by_loss = replace(RECORD, definition=RECORD.definition | {"study": {"objective": "val/loss"}})
    made.open_study(by_loss)
    finish(made, "u1", 0, wrong_at(*range(20)), 8)
    finish(made, "u1", 1, wrong_at(0), 8)
    study = made.read_study("one")
    assert study is not None
    verdict = Summary.of(study, study.trials[0], made, Path("r.html"), "http://h/")
    assert "a difference that shows, in the runner-up's favour, on 40" in verdict.rivalry


def test_pairs_that_agree_say_nothing() -> None:
    same = Predictions(TRUE, wrong_at(1))
    assert paired(same, same) == Paired(40, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["one"], "two to eight names, not 1"),
        (["one", "one/1"], "one/1 and one are the same trial, one/1"),
        (["one", "tow"], "no study 'tow' on record; did you mean 'two'"),
        (["one", "one/7"], "no trial '7' in study 'one'; its trials are 0 to 2"),
        (["one", "one/2"], "one/2 has no result: it is failed (diverged)"),
        (["one", "f" * 32], "no run of harness has the id ffff"),
    ],
)
def test_what_cannot_be_compared_is_named(
    tracker: InMemoryTracker, names: list[str], said: str
) -> None:
    with pytest.raises(HarnessError) as raised:
        compare(tracker, names)
    assert said in str(raised.value)
    assert isinstance(raised.value, UserError | StudyError)
    assert raised.value.exit_status == 2


def test_the_page_has_both_sides_in_colour(tracker: InMemoryTracker) -> None:
    text = report(compare(tracker, ["one", "two", "one/0"])).inlined()
    known = json.loads(text.split('id="known">')[1].split("</script>")[0])
    assert known["selected"] == ["A", "B", "C"]
    assert known["trials"]["B"] == "B · two/0"
    (curve,) = (plot for plot in known["plots"] if plot["name"] == "val-accuracy")
    assert curve["data"][0]["customdata"] == ["A", None, "B", None, "C", None]
    (bars,) = (plot for plot in known["plots"] if plot["name"] == "differences")
    assert [trace["name"] for trace in bars["data"]] == ["B · two/0", "C · one/0"]
