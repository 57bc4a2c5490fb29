"""The displays of a running sweep: live table, plain lines, JSON lines."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from harness.cli.options import Format, open_display
from harness.cli.progress.jsonlines import JsonLines
from harness.cli.progress.live import LiveTable
from harness.cli.progress.plain import Plain
from harness.results import EpochMetrics, TrialFailure, TrialResult
from harness.search.study import Counts
from harness.sweep.progress import BestTrial, Progress, RunningTrial
from harness.trial import Trial, TrialSpec

SPEC = TrialSpec(hidden=(256, 128), batch_norm="before", learning_rate=0.003, epochs=12)
METRICS = EpochMetrics(
    epoch=7,
    train_loss=0.3,
    train_accuracy=0.9,
    penalty=0.0,
    val_loss=0.35,
    val_accuracy=0.8765,
    learning_rate=0.003,
    seconds=0.5,
    time=1.7e9,
)
TRIAL = Trial(number=3, uid="u/3", spec=SPEC)
RESULT = TrialResult(
    best=METRICS,
    epochs=12,
    stopped="finished",
    parameters=1,
    seconds=6.0,
    confusion=((1,),),
    predictions=b"",
    weights=b"",
)


@pytest.fixture
def progress() -> Progress:
    progress = Progress(target=50, objective="val/accuracy", counts=Counts(9, 2, 1))
    progress.started -= 60
    progress.ended_trials, progress.epochs = 12, 120
    progress.best = BestTrial("3", 0.8765, SPEC.describe())
    progress.running = {
        "u/12": RunningTrial(Trial(number=12, uid="u/12", spec=SPEC), "worker 0", [METRICS]),
        "u/13": RunningTrial(Trial(number=13, uid="u/13", spec=replace(SPEC, hidden=(1024,) * 5))),
    }
    return progress


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_live_table_fits_its_terminal(progress: Progress, width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=30, force_terminal=True, color_system=None)
    with LiveTable(console) as live:
        live.trial_ended(progress, TRIAL, "COMPLETE", RESULT, "")
        live.refresh(progress)
        live.message("and a word")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= width
    assert "12/50 trials" in text
    assert "7/12" in text
    assert "0.8765" in text
    assert "and a word" in text
    if width >= 80:
        assert "2 pruned" in text
        assert "1 failed" in text
        assert "12 trials/min" in text
        assert "3 min 10 s left" in text
        assert "256-128 · bn before · adam 0.003" in text


@pytest.mark.parametrize("height", [12, 30])
def test_the_live_table_always_shows_its_summary(progress: Progress, height: int) -> None:
    progress.running = {
        str(number): RunningTrial(Trial(number=number, uid=str(number), spec=SPEC))
        for number in range(64)
    }
    stream = io.StringIO()
    console = Console(file=stream, width=80, height=height, force_terminal=True, color_system=None)
    with LiveTable(console) as live:
        for _ in range(9):
            live.trial_ended(progress, TRIAL, "COMPLETE", RESULT, "")
        drawn = console.render_lines(live._draw(progress))
    text = "\n".join("".join(segment.text for segment in line) for line in drawn)
    assert len(drawn) <= height
    assert "12/50 trials" in text
    assert f"and {64 - max(1, height - 12)} more" in text


def test_plain_lines_have_a_date_and_the_result_of_a_trial(progress: Progress) -> None:
    stream = io.StringIO()
    plain = Plain(stream)
    plain.trial_ended(progress, TRIAL, "COMPLETE", RESULT, "")
    plain.trial_ended(progress, TRIAL, "PRUNED", replace(RESULT, epochs=4), "")
    plain.trial_ended(progress, TRIAL, "FAILED", TrialFailure(reason="diverged: x"), "diverged: x")
    plain.trial_ended(progress, TRIAL, "INTERRUPTED", None, "worker 0 died (signal 9)")
    lines = stream.getvalue().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", line) for line in lines)
    assert "12/50  trial 3" in lines[0]
    assert "val 0.8765 at epoch 7 of 12  [best 0.8765, 3 min 10 s left]" in lines[0]
    assert "of 4, pruned" in lines[1]
    assert "failed: diverged: x" in lines[2]
    assert "worker 0 died (signal 9)" in lines[3]


def test_json_lines_parse_one_by_one(progress: Progress) -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    lines.message("hello")
    lines.trial_ended(progress, TRIAL, "COMPLETE", RESULT, "")
    hello, trial = map(json.loads, stream.getvalue().splitlines())
    assert hello == {"event": "message", "text": "hello"}
    assert (trial["event"], trial["number"], trial["state"]) == ("trial", 3, "COMPLETE")
    assert trial["best"]["val_accuracy"] == 0.8765
    assert TrialSpec.from_dict(trial["spec"]) == SPEC


@pytest.mark.parametrize(("term", "display"), [("dumb", Plain), ("xterm", LiveTable)])
def test_a_dumb_terminal_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, display: type
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for rich
    monkeypatch.setenv("TERM", term)
    with open_display(Format.text) as watcher:
        assert isinstance(watcher, display)
