"""The report's data, and that a page shows hostile text as text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from harness.reports import classes, confusion, curves, leaderboard, page
from harness.tracking.records import RunRecord, State, StudyRun, TestReading
from harness.trial import EpochMetrics, TrialSpec
from harness.verdict import Verdict, duration

HOSTILE = "</script><script>alert('x')</script>\"'&"


def epoch(number: int, accuracy: float) -> EpochMetrics:
    return EpochMetrics(
        epoch=number,
        train_loss=1 - accuracy,
        train_accuracy=accuracy,
        penalty=0.0,
        val_loss=1.5 - accuracy,
        val_accuracy=accuracy,
        learning_rate=1e-3,
        seconds=0.5,
        time=1.7e9 + number,
    )


def run(number: int, state: State, accuracies: list[float], reason: str = "") -> RunRecord:
    epochs = tuple(epoch(index + 1, value) for index, value in enumerate(accuracies))
    best = max(epochs, key=lambda metrics: metrics.val_accuracy, default=None)
    return RunRecord(
        uid=f"u/{number}",
        run_id=f"r{number}",
        number=number,
        state=state,
        spec=TrialSpec(hidden=(32, 16)),
        reason=reason,
        epochs=epochs,
        best=best,
        metrics={"best/val_accuracy": best.val_accuracy} if best else {},
        parameters=1234,
        confusion=((8, 2, 0), (1, 9, 0), (4, 0, 6)),
    )


@pytest.fixture
def study() -> StudyRun:
    return StudyRun(
        name="shirts",
        uid="u",
        run_id="r",
        experiment_id="1",
        facts={"device": "CPU, 2 cores", "versions": HOSTILE},
        classes=("Bag", HOSTILE, "Coat"),
        definition={"study": {"objective": "val/accuracy"}, "data": {"name": "fashion-mnist"}},
        readings=(),
        started=1.7e9,
        ended=None,
        trials=(
            run(0, "COMPLETE", [0.5, 0.7, 0.6]),
            run(1, "PRUNED", [0.9]),
            run(2, "COMPLETE", [0.6, 0.8]),
            run(3, "FAILED", [], f"diverged {HOSTILE}"),
        ),
    )


READING = TestReading(
    selection="s", number=2, time=1.7e9, loss=0.5, confusion=((9, 1, 0), (3, 7, 0), (0, 0, 10))
)


def test_curves_keep_every_epoch_and_gaps_between_trials(study: StudyRun) -> None:
    found = curves.data(study)
    assert [curve.name for curve in found.strong] == ["trial 2", "trial 0"]
    assert [curve.epochs for curve in found.faint] == [(1,)], "the pruned trial ends where it did"
    assert found.strong[1].values["val_accuracy"] == (0.5, 0.7, 0.6)
    drawn = curves.figure(found).to_dict()["data"]
    assert len(drawn) == 4 * (1 + 2)


def test_classes_are_ranked_hardest_first_on_what_was_read_last(study: StudyRun) -> None:
    champion = study.best_first()[0]
    on_validation = classes.data(study, champion, None)
    assert on_validation.names == ("Coat", "Bag", HOSTILE)
    assert on_validation.validation == (0.6, 0.8, 0.9)
    on_test = classes.data(study, champion, READING)
    assert on_test.names == (HOSTILE, "Bag", "Coat")
    assert on_test.test == (0.7, 0.9, 1.0)


def test_confusion_is_shared_out_by_true_class(study: StudyRun) -> None:
    found = confusion.data(study, study.best_first()[0], READING)
    assert found.part == "test"
    assert found.shares[1] == (0.3, 0.7, 0.0)


def test_the_leaderboard_has_everybody_best_first(study: StudyRun) -> None:
    found = leaderboard.data(study)
    rows = found.rows
    assert "dropout" not in found.columns, "it is the same everywhere"
    assert [row.number for row in rows] == [2, 0, 1, 3]
    assert rows[0].cells[:3] == ("0.8000", "0.7000", "2/2")
    assert rows[3].state.startswith("failed: diverged")


def test_the_leaderboard_shows_every_setting_that_differs(study: StudyRun) -> None:
    other = replace(study.trials[0], number=9, spec=TrialSpec(hidden=(4,), dropout=0.25))
    found = leaderboard.data(replace(study, trials=(*study.trials, other)))
    cells = next(row.cells for row in found.rows if row.number == 9)
    assert cells[found.columns.index("dropout")] == "0.25"
    assert cells[found.columns.index("hidden")] == "4"


def test_the_page_stands_alone_and_shows_hostile_text_as_text(
    study: StudyRun, tmp_path: Path
) -> None:
    read = replace(study, readings=(READING,))
    path = tmp_path / "report" / "index.html"
    page.write(Verdict.of(read, read.best_first()[0], path, "sqlite:///mlruns/mlflow.db"), path)
    text = path.read_text()
    assert "<script>alert" not in text
    ours = text.replace(get_plotlyjs(), "")
    assert len(ours) < 60_000
    assert not re.search(r"https?://", ours), "nothing is fetched from anywhere"
    assert text.count("</script>") == 2, "plotly's and ours, and no text ended either"
    figures = json.loads("[" + text.split("const plots = [")[1].split("];\nplots")[0] + "]")
    assert len(figures) == 3
    assert HOSTILE in figures[1]["data"][0]["y"]
    assert "86.67 %" in text, "the test accuracy"


def test_epochs_are_told_by_their_number_where_not_all_were_evaluated(study: StudyRun) -> None:
    best = study.best_first()[0]
    last = replace(best.epochs[-1], epoch=40)
    sparse = replace(best, epochs=(*best.epochs[:-1], last), best=replace(last, epoch=35))
    lines = dict(Verdict.of(study, sparse, Path("r.html"), "http://h/").lines)
    assert "(epoch 35 of 40)" in lines["validation"]
    rows = leaderboard.data(replace(study, trials=(sparse,))).rows
    assert "35/40" in rows[0].cells


def test_the_verdict_counts_and_names(study: StudyRun) -> None:
    read = replace(study, readings=(READING,))
    lines = dict(Verdict.of(read, read.best_first()[0], Path("r.html"), "http://h/").lines)
    assert lines["champion"].startswith("trial 2: 32-16")
    assert lines["validation"] == "accuracy 0.8000, loss 0.7000 (epoch 2 of 2)"
    assert lines["test"] == "accuracy 0.8667, loss 0.5000 (30 examples, read once)"
    assert lines["trials"].startswith("4: 2 complete, 1 pruned, 1 failed; 3 s of training")
    assert "70.0 % (hardest)" in lines["classes"]
    twice = replace(study, readings=(replace(READING, number=0), READING))
    assert (
        "look number 2"
        in dict(Verdict.of(twice, read.best_first()[0], Path("r.html"), "http://h/").lines)["test"]
    )


def test_durations_read_well() -> None:
    assert [duration(s) for s in (4.6, 59.9, 200, 7500)] == [
        "5 s",
        "1 min 0 s",
        "3 min 20 s",
        "2 h 5 min",
    ]
