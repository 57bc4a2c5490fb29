"""The summary in a terminal: one screen at 80 columns, readable at any width, plain in a file."""

from __future__ import annotations

import io
import os
import pty
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.confirmation import require_champion
from harness.analysis.contenders import Contender, Contenders
from harness.analysis.corrected_score import CorrectedScore
from harness.analysis.summary import Summary, load_summary
from harness.cli.summary_screen import MAX_LINES, print_summary
from harness.metrics import ACCURACY
from harness.models.baselines import (
    BOOSTED_TREES,
    Baselines,
    ChampionTest,
    ClassBaselineMetrics,
)
from harness.system.terminal import align_labels
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import CONFIRM_FACT, StudyRun
from tests.cli.screens import assert_screen
from tests.reports.list_study import make_list_study
from tests.support.synthetic_study import make_study

REPORT = Path("mlruns/reports/example/index.html")


def make_summary(study: StudyRun, tracker: InMemoryTracker | None = None) -> Summary:
    champion, store = require_champion(study), "sqlite:///mlruns/mlflow.db"
    return load_summary(study, champion, tracker or InMemoryTracker(), REPORT, store)


@pytest.fixture(scope="module")
def search() -> Summary:
    return make_summary(make_study(20, name="example"))


def render(summary: Summary, monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    stream = io.StringIO()
    print_summary(summary, stream)
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_search(search: Summary, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = render(search, monkeypatch, width)
    assert max(map(len, screen.splitlines())) <= width
    assert_screen(f"summary_of_a_search_{width}", screen)


@pytest.mark.parametrize("width", [40, 80])
def test_a_search_on_a_table_names_the_best_baseline(
    search: Summary, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    test = ChampionTest(search.model_run.uid, 1000, 20, 24, 0.62)
    trees = ClassBaselineMetrics(0.9722, 0.11, (0.95, 0.98), test)
    baselines = Baselines({"test": {BOOSTED_TREES: trees}})
    screen = render(replace(search, baselines=baselines), monkeypatch, width)
    assert_screen(f"summary_of_a_table_{width}", screen)


def confirm(search: Summary, failed: int = 0) -> Summary:
    """Confirm the best three trials over three new splits, with more splits that fail."""
    study = search.study
    first, second, third = study.rank_trials()[:3]
    runs = [
        replace(trial, uid=f"{study.uid}/confirm/{trial.number}.{split}", split=split)
        for trial in (first, second, third)
        for split in (1, 2, 3)
    ]
    runs += [
        replace(
            run,
            uid=f"{run.uid}.{each}",
            spec=replace(run.spec, seed=10 + each),
            state="FAILED",
        )
        for run in runs[::3]
        for each in range(failed)
    ]
    facts = study.facts | {CONFIRM_FACT: "the best 3 settings over 3 seeds"}
    summary = make_summary(replace(study, confirmation_runs=runs, facts=facts))
    others = (
        Contender(second, 0.003, (-0.002, 0.008), 0.3, 0.007),
        Contender(third, 0.01, (0.004, 0.015), 0.02, 0.015),
    )
    contenders = Contenders(0.68, others, 15000, ACCURACY)
    corrected = CorrectedScore(
        first, 0.9071, (0.9012, 0.9127), 3, 15000, contenders, margin=0.5, score=ACCURACY
    )
    return replace(summary, corrected_score=corrected)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_confirmed_search(search: Summary, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = render(confirm(search), monkeypatch, width)
    assert max(map(len, screen.splitlines())) <= width
    assert_screen(f"summary_of_a_confirmed_search_{width}", screen)


@pytest.mark.parametrize(("failed", "splits"), [(1, "1 more split"), (2, "2 more splits")])
def test_failed_confirmation_runs_are_counted(search: Summary, failed: int, splits: str) -> None:
    validation = next(fact for fact in confirm(search, failed).facts if fact.key == "validation")
    assert validation.short.endswith(f"corrected for selection; training failed on {splits}")
    assert validation.text.endswith(f"; training failed on {splits}")


def test_a_search_whose_confirmation_failed_says_so(
    search: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = search.study
    runs = [
        replace(
            search.champion,
            uid=f"{study.uid}/confirm/0.{split}",
            spec=replace(search.champion.spec, seed=split),
            split=split,
            state="FAILED",
        )
        for split in (1, 2, 3)
    ]
    facts = study.facts | {CONFIRM_FACT: "the best setting over 3 seeds"}
    summary = make_summary(replace(study, confirmation_runs=runs, facts=facts))
    screen = render(summary, monkeypatch, 120)
    assert "not corrected for selection: 3 confirmation runs failed; to retry, rerun" in screen


def test_the_champion_has_the_notation_of_the_table(
    search: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [line for line in render(search, monkeypatch, 120).splitlines() if "818-541-32" in line]
    assert len(rows) == 2
    assert rows[0].split(": ")[1].startswith(rows[1].split("  ")[-1].strip()), "and adds the rest"


@pytest.mark.parametrize("width", [40, 80])
def test_a_list(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = render(make_summary(*make_list_study()), monkeypatch, width)
    assert max(map(len, screen.splitlines())) <= width
    assert_screen(f"summary_of_a_list_{width}", screen)


def test_it_fits_a_screen_with_the_longest_settings_too(
    search: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(search.champion.spec, hidden=tuple(range(100, 124)))
    champion = replace(search.champion, spec=spec)
    study = search.study
    trials = tuple(champion if run.uid == champion.uid else run for run in study.trials)
    longest = make_summary(replace(study, trials=trials))
    lines = render(longest, monkeypatch, 80).splitlines()
    assert len(lines) <= MAX_LINES + 1
    rows = [line for line in lines if re.match(r" +\d+ +0\.\d{4}  ", line)]
    assert len(rows) >= 3, "at least three trials are shown"


def test_retried_trials_explain_numbers_beyond_the_count(
    search: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    *trials, last = search.study.trials
    lost = replace(last, state="INTERRUPTED", best=None)
    screen = render(make_summary(replace(search.study, trials=(*trials, lost))), monkeypatch, 120)
    assert " pruned, 1 more interrupted and retried under new numbers; trained" in screen


def test_all_figures_wrap_in_a_terminal(search: Summary) -> None:
    """A path or a command's word is never broken, so that it can be copied."""
    text = search.text(60)
    assert max(map(len, text.splitlines())) <= 60
    assert " ".join(text.split()) == " ".join(search.text().split())
    long = align_labels([("report", f"a page at {REPORT}"), ("", "x")], 20)
    assert long == f"report  a page at\n        {REPORT}\n        x"


def test_a_terminal_gets_colours_and_links_and_a_file_neither(
    search: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_to_terminal() -> str:
        reader, writer = pty.openpty()
        with os.fdopen(writer, "w") as terminal:
            print_summary(search, terminal)
        written = b""
        while True:
            try:
                written += os.read(reader, 65536)
            except OSError:  # everything is read
                os.close(reader)
                return written.decode()

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = write_to_terminal()
    assert REPORT.absolute().as_uri() in coloured
    assert "\x1b[1;32m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;32m" not in write_to_terminal()
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in write_to_terminal()
    assert "\x1b" not in render(search, monkeypatch, 80)
