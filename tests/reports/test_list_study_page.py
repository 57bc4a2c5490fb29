"""The report on a grid or list: setting by setting, the luck of choosing, and true words."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis import test_selection_bias
from harness.analysis.formatting import interval
from harness.analysis.summary import Summary
from harness.config.loader import load
from harness.reports import leaderboard, parameter_axes, recommendations
from harness.reports.commands import train_command
from harness.reports.plots import importance, parallel_coordinates, seed_variance, slice
from harness.reports.plots import test_selection_bias as lucky
from harness.reports.study_page import report
from harness.reports.uncertainty_section import section
from harness.stats.proportions import wilson
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.types import StudyRun, count_correct
from harness.trial import TrialSpec
from tests.reports.list_study import THREE, gridded, listed

HOSTILE = "<b onclick=alert(1)>%{x}&"


@pytest.fixture
def made() -> tuple[StudyRun, InMemoryTracker]:
    return listed()


@pytest.fixture
def study(made: tuple[StudyRun, InMemoryTracker]) -> StudyRun:
    return made[0]


def verdict(study: StudyRun, tracker: InMemoryTracker | None = None) -> Summary:
    champion = study.rank_trials()[0]
    return Summary.of(study, champion, tracker or InMemoryTracker(), Path("r.html"), "http://h/")


def plain(figure: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(figure.to_json())["data"]
    return found


# --- setting by setting


def test_a_setting_is_told_by_all_its_seeds(study: StudyRun) -> None:
    found = seed_variance.data(study)
    assert [entry.name for entry in found.entries] == ["deep", "shallow", "linear"], "best first"
    assert found.heading == "setting"
    deep = found.entries[0]
    assert (deep.numbers, deep.seeds) == ((2, 5, 8), (0, 1, 2))
    best = [run.best.val_accuracy for run in study.trials[2::3] if run.best]
    assert deep.validation.values == tuple(best)
    assert deep.test is not None
    assert deep.test.values == tuple(each.accuracy for each in study.readings[2::3])
    assert deep.parameters == 9700
    assert deep.seconds == pytest.approx(4), "both epochs of seeds that took 2, 4 and 6"
    row = seed_variance.table(found).rows[0]
    spread = (
        f"{np.mean(best):.4f} ± {np.std(best, ddof=1):.4f} ({min(best):.4f} to {max(best):.4f})"
    )
    assert (row.numbers, row.cells[:3]) == ((2, 5, 8), ("deep", "3", spread))
    assert row.cells[4:] == ("9,700", "4.0")


def test_every_trial_is_a_dot_on_both_parts_and_the_mean_is_marked(study: StudyRun) -> None:
    validation, mean, test, _ = plain(seed_variance.figure(seed_variance.data(study)))
    for trace in (validation, test):
        assert sorted(trace["customdata"]) == list(range(9))
        assert {round(y) for y in trace["y"]} == {0, 1, 2}
    place = validation["customdata"].index(5)
    assert study.trials[5].best is not None
    assert validation["x"][place] == study.trials[5].best.val_accuracy
    assert test["x"][test["customdata"].index(5)] == study.readings[5].accuracy
    assert "customdata" not in mean, "a mean is of no trial"
    assert mean["x"][0] == pytest.approx(np.mean(validation["x"][:3]))


def test_one_seed_has_neither_spread_nor_mean() -> None:
    study, _ = listed(seeds=1)
    found = seed_variance.data(study)
    assert [trace["name"] for trace in plain(seed_variance.figure(found))] == ["validation", "test"]
    assert study.trials[2].best is not None
    run, read = study.trials[2], study.readings[2]
    low, high = wilson(*count_correct(run.confusion))
    accuracy = f"{study.trials[2].best.val_accuracy:.4f} (95 %: {low:.4f} to {high:.4f})"
    cells = seed_variance.table(found).rows[0].cells
    assert cells[:3] == ("deep", "1", accuracy)
    low, high = wilson(*count_correct(read.confusion))
    assert cells[3] == f"{read.accuracy:.4f} (95 %: {low:.4f} to {high:.4f})"
    validation = plain(seed_variance.figure(found))[0]
    place = validation["customdata"].index(2)
    assert validation["error_x"]["array"][place] == pytest.approx(
        wilson(*count_correct(run.confusion))[1] - validation["x"][place]
    )
    assert found.entries[0].between == pytest.approx(wilson(*count_correct(run.confusion)))
    unread = seed_variance.data(replace(study, readings=()))
    shown = seed_variance.figure(unread).layout.xaxis.range
    ends = [end for entry in unread.entries for end in (entry.between or ())]
    assert shown[0] < min(ends) < max(ends) < shown[1], "the intervals are in sight"
    assert len(plain(seed_variance.figure(unread))) == 1
    assert "test accuracy" not in seed_variance.table(unread).columns


def test_a_grids_settings_are_told_by_their_values(study: StudyRun) -> None:
    grid = gridded({"hidden": [[], [64], [64, 32]], "batch_norm": ["none", "before"]}, study)
    found = seed_variance.data(grid)
    assert found.heading == "hidden · batch_norm"
    assert [entry.short for entry in found.entries] == [
        "64-32 · before",
        "64 · none",
        "none · none",
    ]
    assert found.entries[0].name == "hidden = [64, 32], batch_norm = before"
    assert seed_variance.titles(grid)[5] == "64-32 · before, seed 1"
    assert seed_variance.titles(study)[5] == "deep, seed 1"


def test_what_is_not_complete_is_left_out_and_counted(study: StudyRun) -> None:
    trials = list(study.trials)
    trials[5] = replace(trials[5], state="PRUNED")
    trials[8] = replace(trials[8], state="FAILED", best=None, metrics={}, epochs=())
    less = replace(study, trials=tuple(trials))
    found = seed_variance.data(less)
    assert found.left_out == 2
    assert found.entries[0].numbers == (2,)
    assert seed_variance.named(less)[8] == "deep"
    assert "not complete: 2 of the trials" in report(verdict(less)).inlined()


def test_names_are_told_apart_where_they_begin_alike() -> None:
    many = {f"a name that begins like all others {n}": {"hidden": [n + 1]} for n in range(70)}
    study, _ = listed(many, seeds=1)
    made = seed_variance.figure(seed_variance.data(study))
    assert made.layout.yaxis.ticktext[:2] == ("…69", "…68")
    assert len(made.layout.yaxis.ticktext) == seed_variance.SHOWN
    assert made.layout.height > 1500
    assert len(seed_variance.table(seed_variance.data(study)).rows) == 70
    (found,) = [s for s in report(verdict(study)).sections if s.name == "settings"]
    assert found.plots[0].title.endswith("the best 60 of 70")


def test_what_learnt_nothing_does_not_squeeze_the_axis(study: StudyRun) -> None:
    found = seed_variance.data(study)
    first = found.entries[0]
    good = [replace(first, name=str(n)) for n in range(5)]

    def low(*others: float) -> float:
        bad = [replace(first, validation=seed_variance.Spread((value,) * 3)) for value in others]
        entries = (*good, *bad)
        return float(seed_variance.figure(replace(found, entries=entries)).layout.xaxis.range[0])

    assert low() == pytest.approx(low(0.1), abs=0.01)
    assert low(0.94, 0.1) < 0.94, "a weaker baseline is in sight"


# --- the luck of choosing on the test set


def test_luck_is_what_another_way_of_counting_finds() -> None:
    rng = np.random.default_rng(3)
    right = rng.random((20, 800)) < 0.9
    found = test_selection_bias.among(right, 4)
    assert (found.trials, found.examples, found.half) == (20, 800, 400)
    for here, there in zip(found.champion.here, found.champion.there, strict=True):
        assert 400 * here + 400 * there == pytest.approx(right[4].sum()), "halves of all examples"
    best, champion = np.array(found.best.here), np.array(found.champion.here)
    assert (best >= champion).all()
    gaps = []
    for _ in range(test_selection_bias.SPLITS):  # the plain way
        order = rng.permutation(800)
        means = right[:, order[:400]].mean(1), right[:, order[400:]].mean(1)
        gaps.append(means[0][means[0].argmax()] - means[1][means[0].argmax()])
    assert np.mean(found.best.gaps) == pytest.approx(np.mean(gaps), abs=0.002)
    assert found.best.range == pytest.approx(tuple(np.quantile(gaps, (0.05, 0.95))), abs=0.004)
    assert np.mean(found.champion.gaps) == pytest.approx(0, abs=0.002)
    assert np.mean(found.best.gaps) > 0.015
    assert test_selection_bias.among(right, 4) == found, "seeded"
    points = 100 * np.mean(found.best.gaps)
    said = found.text("stand-in")
    assert said.startswith(f"who chose on half of the stand-in examples would lose {points:.2f} p")
    assert found.metrics()["luck/chosen_on_test"] == pytest.approx(points / 100)
    assert found.metrics()["luck/chosen_on_validation"] == pytest.approx(0, abs=0.002)


def test_without_rivals_there_is_no_luck() -> None:
    right = np.random.default_rng(0).random((5, 301)) < 0.6
    right[3] = True
    found = test_selection_bias.among(right, 3)
    assert found.best.means == (1.0, 1.0)
    assert found.half == 150
    assert set(found.best.gaps) == {0.0}


def test_luck_is_read_from_what_every_trial_kept(
    made: tuple[StudyRun, InMemoryTracker],
) -> None:
    study, tracker = made
    champion = study.rank_trials()[0]
    found = test_selection_bias.find(tracker, study, champion)
    assert found is not None
    assert (found.trials, found.examples) == (9, 1000)
    reading = study.find_reading(champion)
    assert reading is not None
    assert np.mean(found.champion.means) == pytest.approx(reading.accuracy)
    other = TestPredictions(np.ones(1000), np.ones(1000), np.ones(1000)).to_bytes()
    tracker.log_file("r0", TEST_PREDICTIONS_FILE, other)
    del tracker.files["r1"]
    fewer = test_selection_bias.find(tracker, study, champion)
    assert fewer is not None
    assert fewer.trials == 7, "one has kept nothing, one was read on other examples"
    del tracker.files[champion.run_id]
    assert test_selection_bias.find(tracker, study, champion) is None
    assert verdict(study, tracker).luck is None


def test_a_search_and_a_pair_have_no_luck_section(made: tuple[StudyRun, InMemoryTracker]) -> None:
    study, tracker = made
    pair = replace(study, readings=study.readings[1:3], trials=study.trials[1:3])
    assert test_selection_bias.find(tracker, pair, pair.rank_trials()[0]) is None
    table = study.definition["study"] | {"sampler": "tpe"}
    search = replace(study, definition=gridded({}, study).definition | {"study": table})
    assert test_selection_bias.find(tracker, search, search.rank_trials()[0]) is None
    names = [section.name for section in report(verdict(search, tracker)).sections]
    assert "settings" not in names
    assert "luck" not in names


def test_luck_is_told_with_its_figures() -> None:
    best = test_selection_bias.Halves((0.92,) * 500 + (0.9,) * 500, (0.9,) * 1000)
    champion = test_selection_bias.Halves((0.905,) * 1000, (0.9051,) * 1000)
    assert lucky.says(test_selection_bias.TestSelectionBias(48, 10_000, 5000, best, champion)) == (
        "Chosen on a random half of the test examples (5,000), the best of 48 trials reads 0.9100 "
        "there and 0.9000 on the other half: 1.00 points of luck (5 % to 95 % of 1,000 splits: "
        "0.00 to 2.00). The trial that validation chose: 0.9050 and 0.9051."
    )


def test_the_best_of_either_part_is_told_on_both(study: StudyRun) -> None:
    champion = study.rank_trials()[0]
    top = max(study.readings, key=lambda reading: reading.accuracy)
    names = seed_variance.titles(study)
    assert top.number != champion.number
    first, second = lucky.table(study, champion, names).rows
    mine = study.find_reading(champion)
    assert champion.best is not None
    assert mine is not None
    assert first.numbers == (champion.number,)
    assert first.cells == (
        "validation",
        f"{champion.number} · {names[champion.number]}",
        f"{champion.best.val_accuracy:.4f}{interval(champion.confusion)}",
        f"{mine.accuracy:.4f}{interval(mine.confusion)}",
    )
    assert second.numbers == (top.number,)
    assert second.cells[3] == f"{top.accuracy:.4f}{interval(top.confusion)}"
    alike = replace(study, readings=tuple(replace(top, number=n) for n in range(9)))
    (both,) = lucky.table(alike, champion, names).rows
    assert both.numbers == (champion.number,)
    assert both.cells[0] == "both (as 8 more)"


def test_bars_hold_every_split_once() -> None:
    right = np.random.default_rng(1).random((6, 360)) < 0.95
    found = test_selection_bias.among(right, 0)
    width, champion, best = lucky.bars(found)
    assert sum(champion.values()) == sum(best.values()) == test_selection_bias.SPLITS
    for gap in found.champion.gaps:
        assert min(abs(gap - middle) for middle in champion) <= width / 2 + 1e-9
    example = 1 / found.half
    assert width / example == pytest.approx(round(width / example / 2) * 2), "even, and whole"


# --- true words


def says(study: StudyRun) -> str:
    return section(verdict(study)).says


def test_how_sure_is_true_of_a_list_over_seeds(study: StudyRun) -> None:
    told, (first, second, _) = says(study), seed_variance.data(study).entries
    assert "Nothing was sampled" not in told
    assert "opened after the choice" not in told
    best = "The champion is the best trial of the setting that leads by its mean, of 9 complete"
    assert best in told
    leads = (
        f"Of 3 settings, the best by mean validation accuracy is deep: {first.validation} (n = 3)"
    )
    assert f"{leads}; the next is shallow: {second.validation} (n = 3)." in told
    assert "another setting" not in told
    assert "The test set was opened once, for all 9 trials: nothing was chosen by it." in told
    assert "not what other seeds would do" in told


def test_how_sure_names_what_is_otherwise(study: StudyRun) -> None:
    later = tuple(replace(reading, selection="t") for reading in study.readings[6:])
    again = says(replace(study, readings=(*study.readings[:6], *later)))
    assert "opened 2 times, each time for the trials that were new" in again
    once, _ = listed(seeds=1)
    assert "Each setting was trained once" in says(once)
    assert "The champion is the best of 3 complete trials by the validation part" in says(once)
    alone, _ = listed({"deep": THREE["deep"]})
    assert "All trials have one setting, and differ by their seed." in says(alone)


def test_the_page_of_a_list_has_its_sections_in_their_places(
    made: tuple[StudyRun, InMemoryTracker],
) -> None:
    page = report(verdict(*made))
    names = [section.name for section in page.sections]
    assert names[:5] == ["verdict", "sure", "settings", "luck", "leaderboard"]
    lines = dict(page.sections[0].values["lines"])
    assert "by setting" not in lines, "there is a table"
    assert lines["settings"] == "deep (seed 2): hidden = [64, 32], batch_norm = before"
    assert page.trials[5] == "5 · deep, seed 1"
    told = {section.name: section.says for section in page.sections}
    assert "sampler" not in told["why"] + told["course"]
    assert [plot.name for plot in page.sections[names.index("course")].plots] == ["timeline"]
    text = page.inlined()
    assert 'data-key="2 5 8"' in text


def test_hostile_names_are_shown_letter_by_letter() -> None:
    study, tracker = listed({HOSTILE: {"hidden": [2]}, "b": {"hidden": [3]}, "c": {"hidden": [4]}})
    for part in report(verdict(study, tracker)).sections:
        for plot in part.plots:
            assert "<b o" not in plot.figure.to_json(), plot.name
    assert "<b o" not in report(verdict(study, tracker)).inlined().split('id="known"')[0]


# --- the rest of the page


def test_a_lists_varied_fields_are_axes(study: StudyRun) -> None:
    found = {factor.name: factor for factor in parameter_axes.factors(study)}
    assert list(found) == ["hidden", "batch_norm"]
    assert [text for _, text in found["hidden"].ticks] == ["none", "64", "64-32"]
    assert len(slice.plots(slice.data(study))) == 2
    assert [axis.name for axis in parallel_coordinates.data(study).axes][:2] == [
        "hidden",
        "batch_norm",
    ]
    rates = {str(rate): {"learning_rate": rate, "epochs": 3} for rate in (1e-2, 1e-4, 1e-3)}
    (rate,) = parameter_axes.factors(listed(rates)[0])
    assert [text for _, text in rate.ticks] == ["0.0001", "0.001", "0.01"], "rising"
    many = listed(seeds=5)[0]
    assert importance.data(many) == importance.Importance(), "its settings change together"
    grid = gridded({"hidden": [[], [64], [64, 32]]}, many)
    assert importance.data(grid).shares == (("hidden", 1.0),)


def test_the_leaderboard_names_setting_and_seed(study: StudyRun) -> None:
    found = leaderboard.data(study)
    assert found.columns[:2] == ("trial", "setting")
    cells = dict(zip(found.columns, found.rows[0].cells, strict=True))
    assert (cells["trial"].text, cells["setting"].text, cells["seed"].text) == ("8", "deep", "2")
    assert found.columns.count("seed") == 1


def test_advice_on_a_grid_or_list_is_no_searchs(study: StudyRun) -> None:
    failed = [
        replace(study.trials[0], number=9 + n, state="FAILED", best=None, metrics={})
        for n in range(20)
    ]
    broken = replace(study, trials=(*study.trials, *failed))
    edge = gridded({"learning_rate": [1e-4, 1e-3], "width": [64, 32], "depth": [2]}, broken)
    for each in (broken, edge):
        champion = each.rank_trials()[0]
        titles = [found.title for found in recommendations.data(each, champion, None)]
        assert titles == ["Look at Coat, taken for Shirt"]
        assert champion.best is not None
        best = replace(champion.best, train_accuracy=1.0)
        overfitted = replace(champion, best=replace(best, val_accuracy=0.9))
        regularise = recommendations.data(each, overfitted, None)[0]
        assert regularise.title.startswith("Regularise: try dropout")
        assert not regularise.command, "a range is nothing to a grid or list"


def test_one_seed_asks_for_more() -> None:
    once, _ = listed(seeds=1)
    first = recommendations.data(once, once.rank_trials()[0], None)[0]
    assert first.title == "Give each setting more seeds"
    assert first.command == "harness run-study listed --cpu --set study.seeds=3 --trials 9"


LIST = """
[study]
seeds = 2
seed = 3
[data]
name = "digits"
[train]
epochs = 2
learning_rate = 3e-3
[[trial]]
name = "linear"
hidden = []
[[trial]]
name = "deep"
hidden = [48, 24]
batch_norm = "before"
learning_rate = 5e-3
"""


def test_any_trial_of_a_list_can_be_trained_again(study: StudyRun, tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text(LIST)
    config = load(path)
    definition = config.definition()
    dice: Any = None  # nothing is drawn
    specs = [config.build_spec(dice, ordinal) for ordinal in range(4)]
    facts = {"command": f"harness run-study {path}"}
    listed = replace(study, definition=definition, facts=facts)
    for spec in specs:
        command = train_command(listed, replace(study.trials[0], spec=spec))
        words = shlex.split(command)
        sets = [value for word, value in pairwise(words) if word == "--set"]
        (seed,) = [int(word.removeprefix("--seed=")) for word in words if "--seed" in word]
        assert TrialSpec(**load(words[2], sets, {"seed": seed}).get_fixed_fields()) == spec
    assert [spec.seed for spec in specs] == [3, 3, 4, 4]
