"""The displays of a running sweep, as screens: live display, plain lines, JSON lines."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tqdm import tqdm

from harness.config.loader import load
from harness.progress.choose import is_live_terminal
from harness.progress.jsonlines import JsonLines
from harness.progress.live import LiveDisplay
from harness.progress.plain import Plain
from harness.progress.wording import format_time_left
from harness.results import EpochMetrics, Outcome, TrialFailure, TrialResult
from harness.search.counts import Counts
from harness.search.open_study import open_search
from harness.sweep.progress import BestTrial, Progress, ProgressDisplay, RunningTrial
from harness.tracking.types import State
from harness.trial import Trial, TrialSpec
from tests.cli.screens import assert_screen, remove_escapes
from tests.support.list_study import write

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
TRIAL = Trial(number=9, uid="u/9", spec=SPEC)
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
FAILURE = TrialFailure(reason="diverged: the loss is nan")
ENDINGS: dict[State, tuple[Outcome | None, str]] = {
    "COMPLETE": (RESULT, ""),
    "PRUNED": (replace(RESULT, epochs=4, best=replace(METRICS, val_accuracy=0.71)), ""),
    "FAILED": (FAILURE, FAILURE.reason),
    "INTERRUPTED": (None, "worker 0 died (signal 9)"),
}
ENDED: dict[State, Trial] = {
    state: replace(TRIAL, number=TRIAL.number + more) for more, state in enumerate(ENDINGS)
}
"""The trials of the search that ended last."""
CONFIRMING = "confirming the best 3 settings on 3 new splits"


@pytest.fixture
def progress() -> Progress:
    progress = Progress(target=50, objective="val/accuracy", counts=Counts(9, 2, 1))
    progress.started -= 60
    progress.ended_trials, progress.epochs = 12, 120
    progress.best = BestTrial.of(TRIAL, 0.8765)
    progress.running = {
        "u/13": RunningTrial(Trial(number=13, uid="u/13", spec=SPEC), "worker 0", [METRICS]),
        "u/14": RunningTrial(Trial(number=14, uid="u/14", spec=replace(SPEC, hidden=(1024,) * 5))),
    }
    return progress


def end_trials(display: ProgressDisplay, progress: Progress, ended: Mapping[State, Trial]) -> None:
    """End a trial in each of the states; the last one leaves the counts as they were."""
    final = progress.counts
    missing = dict.fromkeys(ended, 1)
    for state, trial in ended.items():
        missing[state] = 0
        progress.counts = Counts(
            final.complete - missing.get("COMPLETE", 0),
            final.pruned - missing.get("PRUNED", 0),
            final.failed - missing.get("FAILED", 0),
        )
        outcome, reason = ENDINGS[state]
        display.trial_ended(progress, trial, state, outcome, reason)


def confirm(progress: Progress) -> dict[State, Trial]:
    """Make it the progress of a confirmation of 3 settings over 3 seeds; return the ended runs."""
    progress.target, progress.noun, progress.counts = 9, "run", Counts(1, 0, 1)
    progress.ended_trials = 2
    seeds = [
        [
            Trial(
                number=seed,
                uid=f"{seed}",
                spec=replace(SPEC, seed=seed),
                confirms=number,
                split=seed,
            )
            for seed in (1, 2, 3)
        ]
        for number in (9, 4)
    ]
    progress.best = None  # a single seed wins nothing
    running = [seeds[0][2], seeds[1][0]]
    progress.running = {f"{trial.label}": RunningTrial(trial) for trial in running}
    return {"COMPLETE": seeds[0][0], "FAILED": seeds[0][1], "INTERRUPTED": seeds[0][2]}


def draw(
    progress: Progress | None,
    stage: str,
    width: int,
    height: int = 24,
    ended: Mapping[State, Trial] = ENDED,
) -> str:
    """Return what a terminal shows during the stage, after these trials ended."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, height=height, force_terminal=True, color_system=None
    )
    display = LiveDisplay(console)
    display._view._stage = stage
    if progress is not None:
        if progress.target > 1:
            end_trials(display, progress, ended)
        display.refresh(progress)
    console.print(display.draw())
    screen = remove_escapes(stream.getvalue())
    assert max(map(len, screen.splitlines())) <= width
    return screen


@pytest.mark.parametrize("width", [30, 40, 80, 120])
def test_a_search(progress: Progress, width: int) -> None:
    assert_screen(f"search_{width}", draw(progress, "searching (val/accuracy)", width))


@pytest.mark.parametrize("width", [40, 80])
def test_a_confirmation(progress: Progress, width: int) -> None:
    ended = confirm(progress)
    screen = draw(progress, CONFIRMING, width, ended=ended)
    assert_screen(f"confirmation_{width}", screen)


def test_a_log_has_one_line_for_all_trials_that_a_signal_interrupts(progress: Progress) -> None:
    stream = io.StringIO()
    plain, progress.is_stopping = Plain(stream), True
    for running in list(progress.running.values()):
        del progress.running[running.trial.uid]
        plain.trial_ended(progress, running.trial, "INTERRUPTED", None, "interrupted by Ctrl-C")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("interrupted 2 trials; rerunning the study trains them again")


def test_one_trial_shows_its_epochs(progress: Progress) -> None:
    progress.target, progress.counts, progress.ended_trials = 1, Counts(0, 0, 0), 0
    progress.running = {"u": RunningTrial(Trial(number=0, uid="u", spec=SPEC), "", [METRICS])}
    progress.best = None
    assert_screen("train_80", draw(progress, f"training {SPEC.describe()} on CPU, 2 cores", 80))


@pytest.mark.parametrize("width", [40, 80])
def test_a_list_shows_the_names_of_its_trials(
    progress: Progress, tmp_path: Path, width: int
) -> None:
    with open_search(load(write(tmp_path)), tmp_path) as search:
        trials = [search.ask() for _ in range(4)]
    settings = ["linear", "hidden = [24], batch_norm = before"]
    names = [f"{each}, seed {seed}" for seed in (5, 6) for each in settings]
    assert [trial.label for trial in trials] == names
    progress.target, progress.counts = 6, Counts(1, 0, 1)
    progress.ended_trials, epoch = 2, replace(METRICS, epoch=2)
    progress.best = BestTrial.of(trials[0], 0.8765)
    progress.running = {trial.uid: RunningTrial(trial, "", [epoch]) for trial in trials[2:]}
    states: list[State] = ["COMPLETE", "FAILED", "INTERRUPTED"]  # trial 2 is trained again
    ended = dict(zip(states, trials, strict=False))
    screen = draw(progress, "training the settings (val/accuracy)", width, ended=ended)
    assert_screen(f"list_{width}", screen)
    stream = io.StringIO()
    Plain(stream).trial_ended(progress, trials[0], "COMPLETE", RESULT, "")
    assert "2/6  linear, seed 5: 0.8765 (best), " in stream.getvalue()


@pytest.mark.parametrize("height", [3, 10, 24])
def test_any_height_shows_the_most_important_lines_first(progress: Progress, height: int) -> None:
    progress.running = {
        str(number): RunningTrial(Trial(number=number, uid=str(number), spec=SPEC))
        for number in range(64)
    }
    lines = draw(progress, "searching (val/accuracy)", 80, height).rstrip().splitlines()
    assert len(lines) <= max(height, 9)
    assert "searching" in lines[0]
    assert "12/50 trials" in lines[1]
    if height > 10:
        assert "and 49 more running" in lines[-1]


@pytest.mark.parametrize("width", [40, 80])
def test_a_stage_before_and_after_the_search(width: int) -> None:
    assert_screen(f"stage_{width}", draw(None, "preparing the data: fashion-mnist", width))


def test_the_remaining_time_knows_the_timeout(progress: Progress) -> None:
    assert format_time_left(progress) == "3 min left"
    progress.timeout = 90
    assert format_time_left(progress) == "30 s until the timeout"
    progress.timeout = 1000
    assert format_time_left(progress) == "3 min left"
    progress.timeout = 60
    assert format_time_left(progress) == "timeout: finishing 2 running trials"
    progress.ended_trials, progress.running, progress.timeout = 0, {}, None
    assert format_time_left(progress) == "", "nothing is trained yet"
    progress.timeout = 600
    assert format_time_left(progress) == "9 min until the timeout"


def test_a_live_display_moves_while_the_main_thread_is_busy(progress: Progress) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    with LiveDisplay(console, "loading") as live:
        first = stream.getvalue()
        time.sleep(0.5)
        assert len(stream.getvalue()) > len(first)
        live.stage("searching")
        live.refresh(progress)
        live.message("a line that stays\n  harness run-study quickstart " + "--set x=1 " * 10)
        time.sleep(0.3)
    text = remove_escapes(stream.getvalue())
    assert "loading" in first
    assert text.index("loading") < text.index("a line that stays") < text.index("12/50 trials")
    assert "--set x=1 " * 10 in text, "a command is not wrapped"


def test_a_librarys_bar_and_warnings_do_not_break_the_display(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    with LiveDisplay(console, "downloading") as live:
        with tqdm(total=10, mininterval=0) as bar:
            bar.update(4)
            bar.refresh()
            drawing = Console(file=io.StringIO(), width=80, record=True)
            drawing.print(live.draw())
            during = remove_escapes(drawing.export_text())
        print("a warning", file=sys.stderr)
    assert "40%" in during
    assert "a warning\n" in remove_escapes(stream.getvalue()).replace("\r", "")
    assert capsys.readouterr().err == ""


def test_plain_lines(progress: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "2026-01-02 03:04:05")
    stream = io.StringIO()
    plain = Plain(stream)
    plain.stage("preparing the data: fashion-mnist")
    plain.refresh(progress)  # too soon for a line
    plain.stage("searching (val/accuracy)")
    end_trials(plain, progress, ENDED)
    plain._written_at -= 60
    plain.refresh(progress)
    plain.message("time limit of 10m reached after 12 of 50 trials; to continue:\n  harness ...")
    plain.stage(CONFIRMING)
    end_trials(plain, progress, confirm(progress))
    progress.target, progress.counts, progress.ended_trials = 1, Counts(0, 0, 0), 0
    progress.running = {"u": RunningTrial(Trial(number=0, uid="u", spec=SPEC), "", [METRICS])}
    plain.stage(f"training {SPEC.describe()} on CPU, 2 cores")
    plain._written_at -= 60
    plain.refresh(progress)
    assert "\x1b" not in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 100
    assert_screen("plain", stream.getvalue())


def test_json_lines_parse_one_by_one(progress: Progress) -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    lines.stage("searching")
    lines.message("hello")
    lines.trial_ended(progress, TRIAL, "COMPLETE", RESULT, "")
    stage, hello, trial = map(json.loads, stream.getvalue().splitlines())
    assert stage == {"event": "stage", "text": "searching"}
    assert hello == {"event": "message", "text": "hello"}
    assert (trial["event"], trial["number"], trial["state"]) == ("trial", 9, "COMPLETE")
    assert trial["best"]["val_accuracy"] == 0.8765
    assert TrialSpec.from_dict(trial["spec"]) == SPEC


@pytest.mark.parametrize("name", ["dumb", "unset", "pipe", "terminal"])
def test_only_a_terminal_that_can_move_its_cursor_gets_a_live_display(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """stderr decides, whatever stdout is, and FORCE_COLOR does not make a file a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb" if name == "dumb" else "xterm")
    if name == "unset":
        monkeypatch.delenv("TERM")
    ours, theirs = os.pipe() if name == "pipe" else pty.openpty()
    with open(ours, "rb"), open(theirs, "w") as stream:  # noqa: PTH123
        assert is_live_terminal(stream) == (name == "terminal")


START = """
import sys
from harness.cli.options import Format, open_display
import harness.cli.main
with open_display(Format.text, "first") as display:
    heavy = {"torch", "mlflow", "optuna", "pandas", "numpy", "pydantic"} & set(sys.modules)
print(type(display).__name__, sorted(heavy))
"""


@pytest.mark.parametrize("no_color", ["", "1"])
def test_something_is_on_the_screen_before_anything_heavy_is_imported(no_color: str) -> None:
    """In a terminal and in a log file; NO_COLOR has no colours."""
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": no_color}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", START]
    live = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
    )
    screen = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert live.stdout == "LiveDisplay []\n"
    assert "first" in screen
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]m", screen)) == (not no_color)
    plain = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout == "Plain []\n"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  first\n", plain.stderr)
