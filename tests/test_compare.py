"""`harness compare` on a record in memory: whom it finds, what it tests, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.compare import compare
from harness.errors import HarnessError, StudyError, UserError
from harness.intervals import wilson
from harness.paired import Paired, Rival, paired, rivals
from harness.reports.versus import report
from harness.tracking.memory import MemoryTracker
from harness.tracking.predictions import Predictions
from harness.tracking.records import RunRecord, StudyRecord, StudyRun, right
from harness.trial import EpochMetrics, Trial, TrialFailure, TrialResult, TrialSpec
from harness.verdict import Verdict

TRUE = bytes([0, 1] * 20)
RECORD = StudyRecord(
    name="one",
    uid="u1",
    text="",
    definition={"study": {"objective": "val/accuracy"}, "data": {"name": "digits"}},
    facts={"split_hash": "same"},
    dataset="digits",
    dataset_digest="",
    dataset_source="",
    sizes={},
    classes=("even", "odd </script>"),
    validation_labels=TRUE,
)


def wrong_at(*places: int) -> bytes:
    """Predictions that err in these places alone."""
    return bytes(1 - true if place in places else true for place, true in enumerate(TRUE))


def finish(
    tracker: MemoryTracker,
    uid: str,
    number: int,
    predicted: bytes,
    width: int,
    parameters: int = 10,
) -> None:
    correct = sum(map(int.__eq__, TRUE, predicted))
    accuracy = correct / len(TRUE)
    confusion = [[0, 0], [0, 0]]
    for true, said in zip(TRUE, predicted, strict=True):
        confusion[true][said] += 1
    epoch = EpochMetrics(
        epoch=1,
        train_loss=0.1,
        train_accuracy=1.0,
        penalty=0.0,
        val_loss=0.2,
        val_accuracy=accuracy,
        learning_rate=1e-3,
        seconds=1.0,
        time=1.7e9,
    )
    trial = Trial(number=number, uid=f"{uid}/{number}", spec=TrialSpec(hidden=(width,)))
    outcome = TrialResult(
        best=epoch,
        epochs=1,
        stopped="finished",
        parameters=parameters,
        seconds=1.0,
        confusion=tuple(map(tuple, confusion)),
        predictions=predicted,
        weights=b"",
    )
    tracker.start(trial)
    tracker.log_epochs(trial.uid, [epoch])
    tracker.finish(trial, "COMPLETE", epochs=[epoch], outcome=outcome)


@pytest.fixture
def tracker() -> MemoryTracker:
    made = MemoryTracker()
    made.open(RECORD)
    finish(made, "u1", 0, wrong_at(0, 1, 2), 8)
    finish(made, "u1", 1, wrong_at(0), 16)
    broken = Trial(number=2, uid="u1/2", spec=TrialSpec())
    made.start(broken)
    made.finish(broken, "FAILED", outcome=TrialFailure(reason="diverged"), reason="diverged")
    made.open(replace(RECORD, name="two", uid="u2"))
    finish(made, "u2", 0, wrong_at(*range(5, 17)), 8)
    made.open(replace(RECORD, name="other", uid="u3", facts={"split_hash": "another"}))
    finish(made, "u3", 0, wrong_at(3), 8)
    return made


def test_a_study_stands_for_its_champion(tracker: MemoryTracker) -> None:
    found = compare(tracker, ["one", "two"])
    assert [side.name for side in found.sides] == ["one/1", "two/0"]
    assert found.differing == {"hidden": ("16", "8")}
    (only,) = found.against_first
    assert only is not None
    assert (only.examples, only.only_first, only.only_second) == (40, 12, 1)
    assert found.p[0] == pytest.approx(0.00341796875)
    assert "a difference that shows on 40 examples" in found.verdict(0)


def test_trials_and_run_ids_are_found_too(tracker: MemoryTracker) -> None:
    run_id = "0123456789abcdef" * 2
    tracker.runs["u2/0"] = replace(tracker.runs["u2/0"], run_id=run_id)
    tracker.files[run_id] = tracker.files["u2/0"]
    found = compare(tracker, ["one/0", run_id])
    assert [side.name for side in found.sides] == ["one/0", "two/0"]
    assert found.against_first[0] is not None


def test_p_values_of_several_are_adjusted(tracker: MemoryTracker) -> None:
    found = compare(tracker, ["one", "one/0", "two"])
    assert found.p == (pytest.approx(0.5), pytest.approx(2 * 0.00341796875))


def test_other_examples_are_not_paired(tracker: MemoryTracker) -> None:
    found = compare(tracker, ["one", "other"])
    assert found.against_first == (None,)
    assert found.verdict(0).startswith("not tested")
    assert found.differing["split"] == ("same", "another")
    assert paired(None, Predictions(TRUE, TRUE)) is None
    assert paired(Predictions(TRUE[1:], TRUE[1:]), Predictions(TRUE, TRUE)) is None


def smaller(tracker: MemoryTracker, study: StudyRun, champion: RunRecord) -> Rival | None:
    return rivals(tracker, study, champion)[1]


def test_a_smaller_trial_counts_only_where_no_difference_shows() -> None:
    made = MemoryTracker()
    made.open(RECORD)
    finish(made, "u1", 0, wrong_at(*range(10)), 8, parameters=1000)
    finish(made, "u1", 1, wrong_at(*range(10, 21)), 8, parameters=400)
    study = made.read("one")
    assert study is not None
    champion, other = study.best_first()
    found = smaller(made, study, champion)
    assert found is not None
    assert found.run == other
    assert found.paired == Paired(40, 11, 10, 1.0)
    half = replace(study, trials=(champion, replace(other, parameters=500)))
    assert smaller(made, half, champion) is None, "not less than half"

    # Within the champion's interval, and yet a difference shows on the same examples.
    finish(made, "u1", 2, wrong_at(*range(16)), 8, parameters=100)
    study = made.read("one")
    assert study is not None
    worse = study.trials[2]
    correct, n = right(champion.confusion)
    assert worse.best is not None
    assert wilson(correct, n)[0] <= worse.best.val_accuracy
    assert smaller(made, replace(study, trials=(champion, worse)), champion) is None
    del made.files["u1/1"]
    assert smaller(made, half, champion) is None, "without predictions nothing is known"


def test_a_smaller_trial_far_below_is_not_as_good_though_no_difference_shows() -> None:
    made = MemoryTracker()
    made.open(RECORD)
    finish(made, "u1", 0, wrong_at(), 8, parameters=1000)
    finish(made, "u1", 1, wrong_at(*range(5)), 8, parameters=100)
    study = made.read("one")
    assert study is not None
    runner_up, small = rivals(made, study, study.trials[0])
    assert runner_up is not None
    assert runner_up.paired == Paired(40, 5, 0, 0.0625)
    assert small is None, "0.875, below the champion's interval"


def test_the_runner_up_may_be_the_more_accurate_one() -> None:
    made = MemoryTracker()
    by_loss = replace(RECORD, definition=RECORD.definition | {"study": {"objective": "val/loss"}})
    made.open(by_loss)
    finish(made, "u1", 0, wrong_at(*range(20)), 8)
    finish(made, "u1", 1, wrong_at(0), 8)
    study = made.read("one")
    assert study is not None
    verdict = Verdict.of(study, study.trials[0], made, Path("r.html"), "http://h/")
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
    tracker: MemoryTracker, names: list[str], said: str
) -> None:
    with pytest.raises(HarnessError) as raised:
        compare(tracker, names)
    assert said in str(raised.value)
    assert isinstance(raised.value, UserError | StudyError)
    assert raised.value.exit_status == 2


def test_the_page_has_both_sides_in_colour(tracker: MemoryTracker) -> None:
    text = report(compare(tracker, ["one", "two", "one/0"])).inlined()
    known = json.loads(text.split('id="known">')[1].split("</script>")[0])
    assert known["selected"] == ["A", "B", "C"]
    assert known["trials"]["B"] == "B · two/0"
    (curve,) = (plot for plot in known["plots"] if plot["name"] == "val-accuracy")
    assert curve["data"][0]["customdata"] == ["A", None, "B", None, "C", None]
    (bars,) = (plot for plot in known["plots"] if plot["name"] == "differences")
    assert [trace["name"] for trace in bars["data"]] == ["B · two/0", "C · one/0"]
