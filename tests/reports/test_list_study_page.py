"""The report of a grid or list: settings, selection bias on the test set, uncertainty, advice."""

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
from harness.analysis.formatting import format_accuracy_interval
from harness.analysis.seed_variance import find_setting
from harness.analysis.summary import Summary, load_summary
from harness.config.loader import load
from harness.reports import (
    grid_or_list_sections,
    leaderboard,
    parameter_axes,
    recommendations,
    winner_section,
)
from harness.reports.commands import build_train_command
from harness.reports.plots import importance, parallel_coordinates, seed_variance, slice
from harness.reports.plots import test_selection_bias as bias_plot
from harness.reports.study_page import build_study_page
from harness.reports.uncertainty_section import build_uncertainty_section
from harness.results import count_correct
from harness.stats.proportions import compute_interval
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.types import StudyRun
from harness.trial import TrialSpec
from tests.reports.list_study import SETTINGS, convert_to_grid, make_list_study

HOSTILE = "<b onclick=alert(1)>%{x}&"


@pytest.fixture
def study_and_tracker() -> tuple[StudyRun, InMemoryTracker]:
    return make_list_study()


@pytest.fixture
def study(study_and_tracker: tuple[StudyRun, InMemoryTracker]) -> StudyRun:
    return study_and_tracker[0]


def make_summary(study: StudyRun, tracker: InMemoryTracker | None = None) -> Summary:
    champion = study.rank_trials()[0]
    return load_summary(study, champion, tracker or InMemoryTracker(), Path("r.html"), "http://h/")


def read_traces(figure: Any) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = json.loads(figure.to_json())["data"]
    return traces


# --- settings


def test_a_setting_is_described_by_all_its_seeds(study: StudyRun) -> None:
    overview = seed_variance.group_by_setting(study)
    assert [entry.name for entry in overview.settings] == ["deep", "shallow", "linear"], (
        "best first"
    )
    assert overview.heading == "setting"
    deep = overview.settings[0]
    assert (deep.numbers, deep.seeds) == ((2, 5, 8), (0, 1, 2))
    best = [run.best.val_accuracy for run in study.trials[2::3] if run.best]
    assert deep.validation.values == tuple(best)
    assert deep.test is not None
    assert deep.test.values == tuple(each.accuracy for each in study.readings[2::3])
    assert deep.parameters == 9700
    assert deep.seconds_per_trial == pytest.approx(4), "mean of 2, 4 and 6 s"
    row = grid_or_list_sections.build_settings_table(overview).rows[0]
    spread = (
        f"{np.mean(best):.4f} ± {np.std(best, ddof=1):.4f} ({min(best):.4f} to {max(best):.4f})"
    )
    assert (row.numbers, row.cells[:3]) == ((2, 5, 8), ("deep", "3", spread))
    assert row.cells[4:] == ("9,700", "4.0")


def test_every_trial_is_a_dot_for_validation_and_test_and_the_mean_is_marked(
    study: StudyRun,
) -> None:
    validation, mean, test, _ = read_traces(
        seed_variance.draw_settings(seed_variance.group_by_setting(study))
    )
    for trace in (validation, test):
        assert sorted(trace["customdata"]) == list(range(9))
        assert {round(y) for y in trace["y"]} == {0, 1, 2}
    index = validation["customdata"].index(5)
    assert study.trials[5].best is not None
    assert validation["x"][index] == study.trials[5].best.val_accuracy
    assert test["x"][test["customdata"].index(5)] == study.readings[5].accuracy
    assert "customdata" not in mean, "a mean belongs to no trial"
    assert mean["x"][0] == pytest.approx(np.mean(validation["x"][:3]))


def test_a_setting_with_one_seed_has_neither_spread_nor_mean() -> None:
    study, _ = make_list_study(seeds=1)
    overview = seed_variance.group_by_setting(study)
    assert [trace["name"] for trace in read_traces(seed_variance.draw_settings(overview))] == [
        "validation",
        "test",
    ]
    assert study.trials[2].best is not None
    run, reading = study.trials[2], study.readings[2]
    low, high = compute_interval(*count_correct(run.confusion))
    accuracy = f"{study.trials[2].best.val_accuracy:.4f} (95 %: {low:.4f} to {high:.4f})"
    cells = grid_or_list_sections.build_settings_table(overview).rows[0].cells
    assert cells[:3] == ("deep", "1", accuracy)
    low, high = compute_interval(*count_correct(reading.confusion))
    assert cells[3] == f"{reading.accuracy:.4f} (95 %: {low:.4f} to {high:.4f})"
    validation = read_traces(seed_variance.draw_settings(overview))[0]
    index = validation["customdata"].index(2)
    assert validation["error_x"]["array"][index] == pytest.approx(
        compute_interval(*count_correct(run.confusion))[1] - validation["x"][index]
    )
    assert overview.settings[0].interval == pytest.approx(
        compute_interval(*count_correct(run.confusion))
    )
    unread = seed_variance.group_by_setting(replace(study, readings=()))
    axis_range = seed_variance.draw_settings(unread).layout.xaxis.range
    ends = [end for entry in unread.settings for end in (entry.interval or ())]
    assert axis_range[0] < min(ends) < max(ends) < axis_range[1], "the intervals are visible"
    assert len(read_traces(seed_variance.draw_settings(unread))) == 1
    assert "test accuracy" not in grid_or_list_sections.build_settings_table(unread).columns


def test_the_settings_of_a_grid_are_named_by_their_values(study: StudyRun) -> None:
    grid = convert_to_grid(
        {"hidden": [[], [64], [64, 32]], "batch_norm": ["none", "before"]}, study
    )
    overview = seed_variance.group_by_setting(grid)
    assert overview.heading == "hidden · batch_norm"
    assert [entry.short_name for entry in overview.settings] == [
        "64-32 · before",
        "64 · none",
        "none · none",
    ]
    assert overview.settings[0].name == "hidden = [64, 32], batch_norm = before"
    assert seed_variance.name_trials(grid)[5] == "64-32 · before, seed 1"
    assert seed_variance.name_trials(study)[5] == "deep, seed 1"


def test_incomplete_trials_are_left_out_and_counted(study: StudyRun) -> None:
    trials = list(study.trials)
    trials[5] = replace(trials[5], state="PRUNED")
    trials[8] = replace(trials[8], state="FAILED", best=None, metrics={}, epochs=())
    incomplete = replace(study, trials=tuple(trials))
    overview = seed_variance.group_by_setting(incomplete)
    assert overview.incomplete == 2
    assert overview.settings[0].numbers == (2,)
    assert seed_variance.name_settings(incomplete)[8] == "deep"
    assert (
        "not complete are left out: 2" in build_study_page(make_summary(incomplete)).render_inline()
    )


def test_names_with_the_same_prefix_are_shortened_to_their_ends() -> None:
    many = {f"a name that begins like all others {n}": {"hidden": [n + 1]} for n in range(70)}
    study, _ = make_list_study(many, seeds=1)
    figure = seed_variance.draw_settings(seed_variance.group_by_setting(study))
    assert figure.layout.yaxis.ticktext[:2] == ("…69", "…68")
    assert len(figure.layout.yaxis.ticktext) == seed_variance.MAX_SETTINGS
    assert figure.layout.height > 1500
    assert (
        len(grid_or_list_sections.build_settings_table(seed_variance.group_by_setting(study)).rows)
        == 70
    )
    (section,) = [s for s in build_study_page(make_summary(study)).sections if s.name == "settings"]
    assert section.plots[0].title.endswith("the best 60 of 70")


def test_a_setting_at_chance_level_does_not_squeeze_the_axis(study: StudyRun) -> None:
    overview = seed_variance.group_by_setting(study)
    first = overview.settings[0]
    good = [replace(first, name=str(n)) for n in range(5)]

    def find_axis_start(*others: float) -> float:
        bad = [
            replace(first, validation=seed_variance.SeedScores((value,) * 3)) for value in others
        ]
        entries = (*good, *bad)
        return float(
            seed_variance.draw_settings(replace(overview, settings=entries)).layout.xaxis.range[0]
        )

    assert find_axis_start() == pytest.approx(find_axis_start(0.1), abs=0.01)
    assert find_axis_start(0.94, 0.1) < 0.94, "a weaker baseline is visible"


# --- selection bias on the test set


def test_selection_bias_equals_a_direct_simulation() -> None:
    rng = np.random.default_rng(3)
    right = rng.random((20, 800)) < 0.9
    bias = test_selection_bias.simulate_halvings(right, 4)
    assert (bias.trials, bias.examples, bias.half_size) == (20, 800, 400)
    for chosen, other in zip(bias.champion.choosing_half, bias.champion.other_half, strict=True):
        assert 400 * chosen + 400 * other == pytest.approx(right[4].sum()), "halves of all examples"
    best, champion = (
        np.array(bias.best_on_half.choosing_half),
        np.array(bias.champion.choosing_half),
    )
    assert (best >= champion).all()
    gaps = []
    for _ in range(test_selection_bias.SPLITS):  # direct computation
        order = rng.permutation(800)
        means = right[:, order[:400]].mean(1), right[:, order[400:]].mean(1)
        gaps.append(means[0][means[0].argmax()] - means[1][means[0].argmax()])
    assert np.mean(bias.best_on_half.gaps) == pytest.approx(np.mean(gaps), abs=0.002)
    assert bias.best_on_half.gap_range == pytest.approx(
        tuple(np.quantile(gaps, (0.05, 0.95))), abs=0.004
    )
    assert np.mean(bias.champion.gaps) == pytest.approx(0, abs=0.002)
    assert np.mean(bias.best_on_half.gaps) > 0.015
    assert test_selection_bias.simulate_halvings(right, 4) == bias, "seeded"
    points = 100 * np.mean(bias.best_on_half.gaps)
    text = bias.describe("substitute test")
    assert text.startswith(
        f"choosing on half of the substitute test set would have cost {points:.2f} p"
    )
    assert bias.metrics()["luck/chosen_on_test"] == pytest.approx(points / 100)
    assert bias.metrics()["luck/chosen_on_validation"] == pytest.approx(0, abs=0.002)


def test_a_trial_without_rivals_has_no_selection_bias() -> None:
    right = np.random.default_rng(0).random((5, 301)) < 0.6
    right[3] = True
    bias = test_selection_bias.simulate_halvings(right, 3)
    assert bias.best_on_half.means == (1.0, 1.0)
    assert bias.half_size == 150
    assert set(bias.best_on_half.gaps) == {0.0}


def test_selection_bias_is_computed_from_recorded_predictions(
    study_and_tracker: tuple[StudyRun, InMemoryTracker],
) -> None:
    study, tracker = study_and_tracker
    champion = study.rank_trials()[0]
    bias = test_selection_bias.compute_test_selection_bias(tracker, study, champion)
    assert bias is not None
    assert (bias.trials, bias.examples) == (9, 1000)
    reading = study.find_reading(champion)
    assert reading is not None
    assert np.mean(bias.champion.means) == pytest.approx(reading.accuracy)
    other = TestPredictions(np.ones(1000), np.ones(1000), np.ones(1000)).to_bytes()
    tracker.log_file("r0", TEST_PREDICTIONS_FILE, other)
    del tracker.files["r1"]
    fewer = test_selection_bias.compute_test_selection_bias(tracker, study, champion)
    assert fewer is not None
    assert fewer.trials == 7, "one recorded no predictions, one has other examples"
    del tracker.files[champion.run_id]
    assert test_selection_bias.compute_test_selection_bias(tracker, study, champion) is None
    assert make_summary(study, tracker).test_selection_bias is None


def test_a_search_and_a_pair_of_trials_have_no_selection_bias_section(
    study_and_tracker: tuple[StudyRun, InMemoryTracker],
) -> None:
    study, tracker = study_and_tracker
    pair = replace(study, readings=study.readings[1:3], trials=study.trials[1:3])
    assert (
        test_selection_bias.compute_test_selection_bias(tracker, pair, pair.rank_trials()[0])
        is None
    )
    table = study.definition["study"] | {"sampler": "tpe"}
    search = replace(study, definition=convert_to_grid({}, study).definition | {"study": table})
    assert (
        test_selection_bias.compute_test_selection_bias(tracker, search, search.rank_trials()[0])
        is None
    )
    names = [section.name for section in build_study_page(make_summary(search, tracker)).sections]
    assert "settings" not in names
    assert "luck" not in names


def test_selection_bias_is_described_with_its_figures() -> None:
    best = test_selection_bias.Halves((0.92,) * 500 + (0.9,) * 500, (0.9,) * 1000)
    champion = test_selection_bias.Halves((0.905,) * 1000, (0.9051,) * 1000)
    assert grid_or_list_sections.describe_test_selection_bias(
        test_selection_bias.TestSelectionBias(48, 10_000, 5000, best, champion)
    ) == (
        "On a random half of the test examples (5,000), the best of 48 trials has 0.9100; on the "
        "other half the same trial has 0.9000. The selection bias is 1.00 points (5 % to 95 % of "
        "1,000 halvings: 0.00 to 2.00). The champion, chosen on the validation set, has 0.9050 and "
        "0.9051."
    )


def test_the_best_by_validation_and_the_best_by_test_have_both_scores(study: StudyRun) -> None:
    champion = study.rank_trials()[0]
    top = max(study.readings, key=lambda reading: reading.accuracy)
    names = seed_variance.name_trials(study)
    assert top.number != champion.number
    first, second = grid_or_list_sections.build_best_by_table(study, champion, names).rows
    mine = study.find_reading(champion)
    assert champion.best is not None
    assert mine is not None
    assert first.numbers == (champion.number,)
    assert first.cells == (
        "validation",
        f"{champion.number} · {names[champion.number]}",
        f"{champion.best.val_accuracy:.4f}{format_accuracy_interval(champion.confusion)}",
        f"{mine.accuracy:.4f}{format_accuracy_interval(mine.confusion)}",
    )
    assert second.numbers == (top.number,)
    assert second.cells[3] == f"{top.accuracy:.4f}{format_accuracy_interval(top.confusion)}"
    alike = replace(study, readings=tuple(replace(top, number=n) for n in range(9)))
    (both,) = grid_or_list_sections.build_best_by_table(alike, champion, names).rows
    assert both.numbers == (champion.number,)
    assert both.cells[0] == "both (tied with 8 more)"


def test_the_histogram_counts_every_split_once() -> None:
    right = np.random.default_rng(1).random((6, 360)) < 0.95
    bias = test_selection_bias.simulate_halvings(right, 0)
    width, champion, best = bias_plot.count_gaps(bias)
    assert sum(champion.values()) == sum(best.values()) == test_selection_bias.SPLITS
    for gap in bias.champion.gaps:
        assert min(abs(gap - middle) for middle in champion) <= width / 2 + 1e-9
    example = 1 / bias.half_size
    assert width / example == pytest.approx(round(width / example / 2) * 2), (
        "an even number of examples"
    )


# --- the uncertainty section


def get_uncertainty_text(study: StudyRun) -> str:
    return build_uncertainty_section(make_summary(study)).text


def test_the_uncertainty_section_of_a_list_over_seeds(study: StudyRun) -> None:
    text, (first, second, _) = (
        get_uncertainty_text(study),
        seed_variance.group_by_setting(study).settings,
    )
    assert "Nothing was sampled" not in text
    assert "opened after the choice" not in text
    best = "The champion is the best trial of the setting with the best mean, of 9 complete"
    assert best in text
    leads = (
        f"Of 3 settings, the best by mean validation accuracy is deep: {first.validation} (n = 3)"
    )
    assert f"{leads}; the next is shallow: {second.validation} (n = 3)." in text
    assert "another setting" not in text
    assert "The test set was opened once, for all 9 trials; nothing was chosen on it." in text
    assert "they do not include seed variance" in text


def test_the_uncertainty_section_of_other_lists(study: StudyRun) -> None:
    later = tuple(replace(reading, selection="t") for reading in study.readings[6:])
    text = get_uncertainty_text(replace(study, readings=(*study.readings[:6], *later)))
    assert "opened 2 times, each time for the new trials" in text
    once, _ = make_list_study(seeds=1)
    assert "Each setting was trained with one seed" in get_uncertainty_text(once)
    assert (
        "The champion is the best of 3 complete trials on the validation set"
        in get_uncertainty_text(once)
    )
    alone, _ = make_list_study({"deep": SETTINGS["deep"]})
    assert "All trials have the same setting and differ in their seed." in get_uncertainty_text(
        alone
    )


def test_the_page_of_a_list_has_its_sections_in_order(
    study_and_tracker: tuple[StudyRun, InMemoryTracker],
) -> None:
    page = build_study_page(make_summary(*study_and_tracker))
    names = [section.name for section in page.sections]
    assert names == [
        "verdict",
        "settings",
        "leaderboard",
        "curves",
        "classes",
        "mistakes",
        "why",
        "course",
        "sure",
        "luck",
        "next",
        "use",
    ]
    assert [plot.name for plot in page.sections[0].plots] == ["val-accuracy", "settings"]
    lines = dict(page.sections[0].folds[0].values["lines"])
    assert "by setting" not in lines, "there is a table"
    assert lines["settings"] == "deep (seed 2): hidden = [64, 32], batch_norm = before"
    assert page.trials[5] == "5 · deep, seed 1"
    texts = {section.name: section.text for section in page.sections}
    assert "sampler" not in texts["why"] + texts["course"]
    assert [plot.name for plot in page.sections[names.index("course")].plots] == ["timeline"]
    text = page.render_inline()
    assert 'data-key="2 5 8"' in text


def test_hostile_names_are_escaped() -> None:
    study, tracker = make_list_study(
        {HOSTILE: {"hidden": [2]}, "b": {"hidden": [3]}, "c": {"hidden": [4]}}
    )
    for part in build_study_page(make_summary(study, tracker)).sections:
        for plot in part.all_plots:
            assert "<b o" not in plot.figure.to_json(), plot.name
    assert (
        "<b o"
        not in build_study_page(make_summary(study, tracker))
        .render_inline()
        .split('id="page-data"')[0]
    )


# --- the rest of the page


def test_the_varied_fields_of_a_list_are_axes(study: StudyRun) -> None:
    axes = {factor.name: factor for factor in parameter_axes.build_parameter_axes(study)}
    assert list(axes) == ["hidden", "batch_norm"]
    assert [text for _, text in axes["hidden"].ticks] == ["none", "64", "64-32"]
    assert len(slice.build_slice_plots(slice.compute_slices(study))) == 2
    assert [axis.name for axis in parallel_coordinates.compute_parallel_coordinates(study).axes][
        :2
    ] == [
        "hidden",
        "batch_norm",
    ]
    rates = {str(rate): {"learning_rate": rate, "epochs": 3} for rate in (1e-2, 1e-4, 1e-3)}
    (rate,) = parameter_axes.build_parameter_axes(make_list_study(rates)[0])
    assert [text for _, text in rate.ticks] == ["0.0001", "0.001", "0.01"], "rising"
    many = make_list_study(seeds=5)[0]
    assert importance.compute_importance(many) == importance.Importance(), (
        "its fields vary together"
    )
    grid = convert_to_grid({"hidden": [[], [64], [64, 32]]}, many)
    assert importance.compute_importance(grid).shares == (("hidden", 1.0),)


def test_the_leaderboard_names_setting_and_seed(study: StudyRun) -> None:
    table = leaderboard.build_leaderboard(study)
    assert table.columns[:2] == ("trial", "setting")
    cells = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert (cells["trial"].text, cells["setting"].text, cells["seed"].text) == ("8", "deep", "2")
    assert table.columns.count("seed") == 1


def test_a_grid_or_list_gets_no_advice_on_ranges(study: StudyRun) -> None:
    failed = [
        replace(study.trials[0], number=9 + n, state="FAILED", best=None, metrics={})
        for n in range(20)
    ]
    broken = replace(study, trials=(*study.trials, *failed))
    edge = convert_to_grid({"learning_rate": [1e-4, 1e-3], "width": [64, 32], "depth": [2]}, broken)
    for each in (broken, edge):
        champion = each.rank_trials()[0]
        titles = [
            recommendation.title
            for recommendation in recommendations.recommend(each, champion, None)
        ]
        assert titles == ["Look at Coat classified as Shirt"]
        assert champion.best is not None
        best = replace(champion.best, train_accuracy=1.0)
        overfitted = replace(champion, best=replace(best, val_accuracy=0.9))
        regularise = recommendations.recommend(each, overfitted, None)[0]
        assert regularise.title.startswith("Regularize: try dropout")
        assert not regularise.command, "a grid or list has no ranges"


def test_one_seed_per_setting_leads_to_advice_to_add_seeds() -> None:
    once, _ = make_list_study(seeds=1)
    first = recommendations.recommend(once, once.rank_trials()[0], None)[0]
    assert first.title == "Give each setting more seeds"
    assert (
        first.command == "harness run-study listed --cpu --set study.seeds=3 --trials 9 --no-test"
    )


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
    recorded = replace(study, definition=definition, facts=facts)
    for spec in specs:
        command = build_train_command(recorded, replace(study.trials[0], spec=spec))
        words = shlex.split(command)
        sets = [value for word, value in pairwise(words) if word == "--set"]
        (seed,) = [int(word.removeprefix("--seed=")) for word in words if "--seed" in word]
        assert TrialSpec(**load(words[2], sets, {"seed": seed}).get_fixed_fields()) == spec
    assert [spec.seed for spec in specs] == [3, 3, 4, 4]


def test_a_list_shows_the_mean_of_the_champions_setting_beside_its_best_seed(
    study: StudyRun,
) -> None:
    setting = find_setting(study, study.rank_trials()[0])
    assert setting is not None
    assert setting.test is not None
    test, validation, _ = winner_section.list_figures(make_summary(study))
    for figure, scores in ((test, setting.test), (validation, setting.validation)):
        assert scores.std is not None
        mean = f"{100 * scores.mean:.2f} ± {100 * scores.std:.2f} %"
        assert figure["note"].endswith(f"; mean of its 3 seeds: {mean}")
