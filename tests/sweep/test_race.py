"""The settings of a study race for its confirmation runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.race import RaceRules, replay_race
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.config.loader import load
from harness.errors import ConfigError
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import CONFIRM_FACT, RACE_RULE
from harness.workspace import Workspace
from tests.faults.study_comparison import confirmation_results
from tests.sweep.test_confirm import STUDY, record, study, written

RACED = {CONFIRM_FACT: f"{RACE_RULE}the best 2 settings over 6 runs"}
RACE = STUDY.replace("top = 2", "top = 4\nrace = true").replace("validation = 0.2\n", "")


def test_settings_are_ranked_on_the_splits_that_they_share() -> None:
    runs = [
        *(record(0, value, seed) for seed, value in enumerate((0.90, 0.90), 1)),
        *(record(1, value, seed) for seed, value in enumerate((0.91, 0.91, 0.70, 0.70), 1)),
    ]
    runs = [replace(run, split=run.spec.seed) for run in runs]
    example = study([record(0, 0.99), record(1, 0.95)], runs)
    assert [each.trial.number for each in rank_confirmed_settings(example)] == [0, 1]
    raced = replace(example, facts=RACED)
    assert [each.trial.number for each in rank_confirmed_settings(raced)] == [1, 0]
    # An earlier version confirmed on the study's own split, whose number is 0: nothing races.
    values = {0: (0.90, 0.90), 1: (0.70, 0.91)}
    runs = [record(n, value, seed) for n in values for seed, value in enumerate(values[n], 1)]
    older = replace(raced, confirmation_runs=runs)
    assert [each.trial.number for each in rank_confirmed_settings(older)] == [0, 1]


def test_runs_after_a_decision_do_not_change_it() -> None:
    trials = [record(number, 0.99 - number / 100) for number in range(5)]
    runs = [record(n, 0.9 - n / 100, seed) for n in range(4) for seed in (1, 2)]
    runs += [record(4, 0.99, seed, state="FAILED") for seed in (1, 2)]
    runs += [record(n, 0.5, 3) for n in (0, 1)]
    example = study(trials, [replace(run, split=run.spec.seed) for run in runs], facts=RACED)
    raced = replay_race(example, InMemoryTracker(), RaceRules(5, 3, 0, room=9, examples=0))
    assert raced is not None
    first, second = raced.race.looks[:2]
    assert (first.ranked, first.failed, second.ranked) == ((0, 1, 2, 3, 4), (4,), (0, 1))


def test_settings_are_ranked_on_the_splits_that_those_left_share() -> None:
    runs = [
        *(record(0, value, seed) for seed, value in enumerate((0.91, 0.80), 1)),
        *(record(1, value, seed) for seed, value in enumerate((0.90, 0.90), 1)),
        record(2, 0.99, 1),
        record(2, 0.99, 2, state="FAILED"),
    ]
    trials = [record(number, 0.9) for number in range(3)]
    example = study(trials, [replace(run, split=run.spec.seed) for run in runs], facts=RACED)
    raced = replay_race(example, InMemoryTracker(), RaceRules(3, 3, 0, room=9, examples=0))
    assert raced is not None
    assert raced.race.looks[0].ranked == (1, 0, 2), "1 and 0 both have split 2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["confirm.budget=9", "confirm.race=false"], "only a race has one"),
        (["confirm.resample=false"], "needs new splits"),
        (["confirm.top=1"], "two settings or more"),
        (["confirm.budget=7"], "a race of 4 settings needs 8 runs or more"),
        (["confirm.seeds=1"], "seeds: a race of 4 settings needs 8 runs"),
    ],
)
def test_a_race_that_cannot_be_is_refused(tmp_path: Path, changes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(written(tmp_path, RACE), changes)


@pytest.mark.slow
def test_a_race_that_was_killed_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    folders = alone, killed = tmp_path / "alone", tmp_path / "killed"
    for folder in folders:
        folder.mkdir()
        written(folder, RACE)
    command = [sys.executable, "-m", "harness", "run-study", "./tiny.toml", "--cpu", "--workers=0"]
    assert subprocess.run(command, cwd=alone, capture_output=True).returncode == 0
    # 6 trials of the search end first, then 8 runs of the race: killed in its first and next part.
    for point in ("driver.recorded:9", "driver.recorded:7"):
        environment = os.environ | {"HARNESS_FAILPOINT": point}
        ended = subprocess.run(command, cwd=killed, capture_output=True, env=environment)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert subprocess.run(command, cwd=killed, capture_output=True).returncode == 0
    assert confirmation_results(killed) == confirmation_results(alone)
    options = {"home": killed / "mlruns", "workers": 0, "device": "cpu"}
    summary = run_study(killed / "tiny.toml", **options).summary  # type: ignore[arg-type]
    runs = summary.study.confirmation_runs
    complete = [run for run in runs if run.state == "COMPLETE"]
    assert summary.race is not None
    assert summary.race.race.runs == len(complete) <= 12, "a rerun trains nothing more"
    assert summary.race.race.looks[-1].ranked[0] == summary.champion.number
    assert dict(summary.lines)["raced"] == summary.race.describe()
    corrected = summary.corrected_score
    assert corrected is not None
    assert corrected.contenders is not None
    others = corrected.contenders.others
    assert len(others) == 3, "those that were dropped keep their interval"
    total = corrected.contenders.probability + sum(each.probability for each in others)
    assert total == pytest.approx(1)
    for folder in folders:
        report = check_studies(Workspace(folder / "mlruns"), "tiny", None)
        assert report.healthy, report.text()
    (file,) = (killed / "mlruns").rglob("race.json")
    document, problems = json.loads(file.read_text()), []
    first = document["looks"][0]["ranked"]
    for changes in (
        {"runs": 99},
        {"looks": [{"ranked": [*first, 99], "worse": [], "failed": []}]},
        {"looks": []},
    ):
        file.write_text(json.dumps(document | changes))
        (study,) = check_studies(Workspace(killed / "mlruns"), "tiny", None).studies
        problems.append("".join(map(str, study.findings)))
    assert f"race.json counts 99 runs, and its looks compare {len(complete)}" in problems[0]
    assert "race.json compares trial 99 on new split 1, which has no run" in problems[1]
    assert "race.json cannot be read" in problems[2]
