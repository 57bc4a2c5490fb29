"""The report page: the data of its plots, its text, and the escaping of hostile names."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from harness.analysis.formatting import format_duration
from harness.analysis.summary import Summary, load_summary
from harness.analysis.tied_trials import TiedTrials
from harness.reports import commands_section, leaderboard, winner_section
from harness.reports.commands import build_train_command
from harness.reports.page import embed_json, read_plotly
from harness.reports.plots import (
    class_accuracy,
    class_heatmap,
    confusion_matrix,
    learning_curves,
    top_trials,
)
from harness.reports.study_page import build_study_page
from harness.reports.uncertainty_section import build_uncertainty_section
from harness.results import EpochMetrics
from harness.stats.proportions import compute_simultaneous_interval
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.test_reading import TestReading
from harness.tracking.types import CONFIRM_FACT, CONFIRM_INFIX, RunRecord, State, StudyRun
from harness.trial import TrialSpec

HOSTILE = "</script><script>alert('x')</script>\"'&"


def make_epoch(number: int, accuracy: float) -> EpochMetrics:
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


def make_run(number: int, state: State, accuracies: list[float], reason: str = "") -> RunRecord:
    epochs = tuple(make_epoch(index + 1, value) for index, value in enumerate(accuracies))
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
            make_run(0, "COMPLETE", [0.5, 0.7, 0.6]),
            make_run(1, "PRUNED", [0.9]),
            make_run(2, "COMPLETE", [0.6, 0.8]),
            make_run(3, "FAILED", [], f"diverged {HOSTILE}"),
        ),
    )


READING = TestReading(
    selection="s", number=2, time=1.7e9, loss=0.5, confusion=((9, 1, 0), (3, 7, 0), (0, 0, 10))
)


def make_summary(study: StudyRun, tmp_path: Path = Path("r.html")) -> Summary:
    champion = study.rank_trials()[0]
    return load_summary(study, champion, InMemoryTracker(), tmp_path, "sqlite:///mlruns/mlflow.db")


def number_trials(study: StudyRun) -> list[tuple[int | str, RunRecord]]:
    return [(run.number, run) for run in study.trials]


def test_curves_have_every_epoch_and_gaps_between_trials(study: StudyRun) -> None:
    curves = learning_curves.compute_learning_curves(number_trials(study))
    assert [(curve.key, curve.epochs) for curve in curves] == [
        (0, (1, 2, 3)),
        (1, (1,)),
        (2, (1, 2)),
    ], "the curve of a pruned trial is shorter, a failed trial has none"
    assert curves[0].values["val_accuracy"] == (0.5, 0.7, 0.6)
    assert curves[0].seconds == (0.5, 1.0, 1.5)
    (trace,) = learning_curves.build_curve_plots(curves)[0].figure.data
    assert trace.customdata == (0, 0, 0, None, 1, None, 2, 2, None)
    assert trace.y == (0.5, 0.7, 0.6, None, 0.9, None, 0.6, 0.8, None)
    assert trace.meta["seconds"][:3] == [0.5, 1.0, 1.5]


def test_long_curves_are_thinned(study: StudyRun) -> None:
    long = make_run(0, "COMPLETE", [0.5 + index / 10_000 for index in range(900)])
    many = [(number, long) for number in range(learning_curves.MAX_POINTS // 100)]
    curves = learning_curves.compute_learning_curves(many)
    assert len(curves[0].epochs) == 100
    assert (curves[0].epochs[0], curves[0].epochs[-1]) == (1, 900)
    assert curves[0].seconds[-1] == 450, "includes the seconds of the epochs that were left out"


def test_classes_are_ranked_hardest_first_by_the_last_split(study: StudyRun) -> None:
    champion = study.rank_trials()[0]
    validation = {"validation": champion.confusion}
    accuracy = class_accuracy.compute_class_accuracy(study.classes, validation)
    assert accuracy.names == ("Coat", "Bag", HOSTILE)
    assert accuracy.series[0].accuracy == (0.6, 0.8, 0.9)
    assert accuracy.series[0].low[0] == pytest.approx(compute_simultaneous_interval(6, 10, 3)[0]), (
        "of three classes together"
    )
    both = class_accuracy.compute_class_accuracy(
        study.classes, validation | {"test": READING.confusion}
    )
    assert both.names == (HOSTILE, "Bag", "Coat")
    assert both.series[1].accuracy == (0.7, 0.9, 1.0)


def test_a_class_without_an_example_is_left_out() -> None:
    accuracy = class_accuracy.compute_class_accuracy(("a", "b"), {"validation": ((3, 1), (0, 0))})
    assert accuracy.names == ("a",)


def test_confusion_shares_are_relative_to_the_true_class(study: StudyRun) -> None:
    confusion = confusion_matrix.compute_confusion(study.classes, READING.confusion)
    summary = make_summary(replace(study, readings=(READING,)))
    assert confusion.shares[1] == (0.3, 0.7, 0.0)
    counts, shares = (plot.figure.data[0].text for plot in confusion_matrix.build_plots(summary))
    assert (counts[1][1], shares[1][1]) == ("7", "70")


def test_the_class_heatmap_shows_differences_from_the_median(study: StudyRun) -> None:
    other = replace(study.trials[0], number=7, confusion=((10, 0, 0), (1, 9, 0), (6, 0, 4)))
    heatmap = class_heatmap.compute_class_heatmap(replace(study, trials=(study.trials[2], other)))
    assert heatmap.numbers == (2, 7)
    assert heatmap.classes == ("Coat", "Bag", HOSTILE), "the hardest first"
    assert heatmap.lead[1] == pytest.approx((-0.1, 0.1, 0.0))
    assert class_heatmap.draw_class_heatmap(heatmap).data[0].meta["rows"] == [2, 7]


def test_the_class_heatmap_has_the_best_trials_and_an_even_sample_of_the_rest(
    study: StudyRun,
) -> None:
    many = [
        replace(study.trials[2], number=n, metrics={"best/val_accuracy": 1 - n / 1000})
        for n in range(500)
    ]
    heatmap = class_heatmap.compute_class_heatmap(replace(study, trials=tuple(many)))
    assert heatmap.numbers[:20] == tuple(range(20))
    assert (len(heatmap.numbers), heatmap.numbers[-1], heatmap.total) == (40, 499, 500)


def test_the_test_score_is_drawn_below_the_trial_that_was_tested(study: StudyRun) -> None:
    """With confirmation, the champion need not be the best trial of the search."""
    for number, row in ((2, 0), (0, 1)):
        top = top_trials.rank_top_trials(study, replace(READING, number=number))
        *_, drawn = json.loads(top_trials.draw_top_trials(top).to_json())["data"]
        assert drawn["name"] == "on the test set"
        assert drawn["y"] == [row + 0.3]


def test_top_trials_within_the_champions_interval_are_counted(study: StudyRun) -> None:
    top = top_trials.rank_top_trials(study, READING)
    assert [each.number for each in top.trials] == [2, 0]
    assert top.within == 1
    assert top.test is not None
    assert top.test.score == pytest.approx(26 / 30)
    worse = replace(study.trials[0], confusion=((1, 9, 0), (9, 1, 0), (9, 0, 1)))
    better = replace(study.trials[0], confusion=((10, 0, 0), (0, 10, 0), (0, 0, 10)))
    by_loss = top_trials.rank_top_trials(replace(study, trials=(study.trials[2], better)), None)
    assert by_loss.within == 0, "by loss, another trial may be the more accurate one"
    assert (
        top_trials.rank_top_trials(replace(study, trials=(study.trials[2], worse)), None).within
        == 0
    )
    assert {each.status for each in top.trials} == {"unknown"}, "without predictions"


def test_top_trials_are_marked_by_their_difference_from_the_champion(study: StudyRun) -> None:
    champion = replace(study.trials[2], parameters=5000)
    trials = [
        replace(study.trials[0], number=10 + n, uid=f"u/{10 + n}", parameters=4000 - n)
        for n in range(20)
    ]
    tied, distinguishable, seed = (*trials[:5], trials[19]), trials[5:18], trials[18]
    ties = TiedTrials(
        champion,
        (champion, *tied),
        tuple(run.number for run in distinguishable),
        30,
        {run.number: 0.5 for run in tied},
    )
    top = top_trials.rank_top_trials(replace(study, trials=(champion, *trials)), None, ties)
    statuses = {each.number: each.status for each in top.trials}
    assert len(top.trials) == top_trials.MAX_TRIALS
    assert (statuses[2], statuses[10], statuses[15]) == ("champion", "tied", "different")
    figure = top_trials.draw_top_trials(top)
    symbols = {trace.name: trace.marker.symbol for trace in figure.data}
    assert (symbols["statistically indistinguishable"], symbols["significantly different"]) == (
        "circle",
        "circle-open",
    )
    numbers = sorted(number for trace in figure.data for number in trace.customdata)
    assert numbers == sorted(statuses), "each once"
    few = top_trials.rank_top_trials(replace(study, trials=(champion, seed)), None, ties)
    assert [each.status for each in few.trials] == ["champion", "untested"]
    text = build_uncertainty_section(
        replace(make_summary(study), champion=champion, tied_trials=ties)
    ).text
    assert "Paired tests: 6 of 19 other trials are statistically indistinguishable from the" in text
    assert "(bootstrap-t" not in text
    assert "10, 11, 12, 13, 14, 29" in text
    assert "within its interval." not in text, "the test says more"


def test_the_leaderboard_has_every_trial_best_first(study: StudyRun) -> None:
    table = leaderboard.build_leaderboard(study)
    rows = table.rows
    assert "dropout" not in table.columns, "all trials have the same value"
    assert [row.number for row in rows] == [2, 0, 1, 3]
    assert [cell.text for cell in rows[0].cells[:3]] == ["2", "0.8000", "0.591–0.882"]
    assert [cell.text for cell in rows[0].cells[3:5]] == ["0.7000", "2/2"]
    assert rows[3].cells[-1].text.startswith("failed: diverged")
    assert rows[3].cells[1].value is None


def test_the_leaderboard_shows_every_setting_that_differs(study: StudyRun) -> None:
    other = replace(study.trials[0], number=9, spec=TrialSpec(hidden=(4,), dropout=0.25))
    table = leaderboard.build_leaderboard(replace(study, trials=(*study.trials, other)))
    cells = next(row.cells for row in table.rows if row.number == 9)
    assert cells[table.columns.index("dropout")].text == "0.25"
    assert cells[table.columns.index("hidden")].text == "4"


def test_widths_are_sorted_by_depth_then_width(study: StudyRun) -> None:
    specs = [(300, 100), (64,), (1024,), (32, 16)]
    trials = [
        replace(study.trials[0], number=n, spec=TrialSpec(hidden=hidden))
        for n, hidden in enumerate(specs)
    ]
    table = leaderboard.build_leaderboard(replace(study, trials=tuple(trials)))
    column = table.columns.index("hidden")
    keyed = sorted((str(row.cells[column].value), row.cells[column].text) for row in table.rows)
    assert [text for _, text in keyed] == ["64", "1024", "32-16", "300-100"]


def test_the_page_is_self_contained_and_escapes_hostile_text(
    study: StudyRun, tmp_path: Path
) -> None:
    path = tmp_path / "report" / "index.html"
    page = build_study_page(make_summary(replace(study, readings=(READING,)), path))
    page.write(path)
    text = path.read_text()
    assert {file.name for file in path.parent.iterdir()} == {"index.html", "plotly.min.js"}
    assert "<script>alert" not in text
    assert not re.search(r"https?://", text), "nothing is fetched from anywhere"
    assert text.count("</script>") == 4, "loading, data, Plotly, script"
    page_data = json.loads(text.split('id="page-data">')[1].split("</script>")[0])
    assert {plot["name"] for plot in page_data["plots"]} >= {"val-accuracy", "classes", "history"}
    assert "86.67 %" in text, "the test accuracy"


def test_embedded_json_cannot_end_its_script_element() -> None:
    text = embed_json({HOSTILE: [HOSTILE]})
    assert "<" not in text
    assert json.loads(text) == {HOSTILE: [HOSTILE]}


def test_the_inlined_page_needs_no_second_file(study: StudyRun) -> None:
    text = build_study_page(make_summary(study)).render_inline()
    assert read_plotly() in text
    assert "plotly.min.js" not in text.replace(read_plotly(), "")
    assert "localStorage" not in text.replace(read_plotly(), ""), "it throws in MLflow's frame"


def test_plotly_is_changed_only_by_two_parentheses() -> None:
    """If this fails, a new release begins or ends in another way; see `read_plotly`."""
    changed = read_plotly()
    assert len(changed) == len(get_plotlyjs()) + 2
    assert changed.replace("this, (() => {", "this, () => {").endswith("})));")


def test_commands_for_a_local_store_name_the_folder_to_run_them_in(study: StudyRun) -> None:
    local = make_summary(study)
    assert "Run this in the folder" in build_study_page(local).render_inline()
    server = replace(local, store="http://tracking:5000")
    assert "Run this in the folder" not in build_study_page(server).render_inline()


def test_the_champion_can_be_trained_again(study: StudyRun) -> None:
    facts = {"command": "harness run-study shirts --trials=9 --set data.validation=0.3"}
    definition = study.definition | {
        "train": {"epochs": 3},
        "space": {"depth": {}, "width": {}, "batch_norm": ["none"]},
    }
    recorded = replace(study, facts=facts, definition=definition)
    assert build_train_command(recorded, recorded.rank_trials()[0]) == (
        "harness train shirts --seed=0 --set data.validation=0.3 --set 'train.hidden=[32, 16]' "
        "--set train.batch_norm=none --set train.epochs=10"
    )


def test_epochs_have_their_number_where_not_all_were_evaluated(study: StudyRun) -> None:
    best = study.rank_trials()[0]
    last = replace(best.epochs[-1], epoch=40)
    sparse = replace(best, epochs=(*best.epochs[:-1], last), best=replace(last, epoch=35))
    lines = dict(replace(make_summary(study), champion=sparse).lines)
    assert "(epoch 35 of 40)" in lines["validation"]
    table = leaderboard.build_leaderboard(replace(study, trials=(sparse,)))
    columns, rows = table.columns, table.rows
    assert rows[0].cells[columns.index("epoch")].text == "35/40"


def test_the_lines_of_the_summary(study: StudyRun) -> None:
    read = replace(study, readings=(READING,))
    lines = dict(make_summary(read).lines)
    assert lines["champion"].startswith("trial 2: 32-16")
    assert (
        lines["validation"]
        == "accuracy 0.8000, loss 0.7000 (epoch 2 of 2); the best of 2 trials, not corrected for "
        "selection"
    )
    assert lines["test"] == (
        "accuracy 0.8667 (95 %: 0.7032 to 0.9469), loss 0.5000 (30 examples, read once)"
    )
    assert lines["trials"].startswith("4: 2 complete, 1 pruned, 1 failed; 3 s of training")
    assert (
        "70.0 % (95 %: 28.9 to 95.5 %; no class is clearly hardest), Bag 90.0 %, "
        in lines["classes"]
    )
    assert lines["classes"].endswith("on average 86.7 % (95 %: 70.3 to 94.7 %)")
    twice = replace(study, readings=(replace(READING, number=0, selection="r"), READING))
    assert "2nd opening of this test set" in dict(make_summary(twice).lines)["test"]


def test_the_hardest_class_is_shown_unless_all_are_equal(study: StudyRun) -> None:
    read = replace(study, readings=(READING,))
    figures = winner_section.build_winner_section(make_summary(read)).values["figures"]
    assert (figures[-1]["value"], figures[-1]["label"]) == ("not clear", "hardest class")
    assert figures[-1]["note"].startswith(f"the lowest is {HOSTILE}: 70.0 % on test (95 %: ")
    clear = replace(READING, confusion=((99, 1, 0), (30, 70, 0), (0, 1, 99)))
    figures = winner_section.build_winner_section(
        make_summary(replace(study, readings=(clear,)))
    ).values["figures"]
    assert (figures[-1]["value"], figures[-1]["label"]) == (HOSTILE, "hardest class")
    alike = replace(READING, confusion=((9, 1, 0), (1, 9, 0), (0, 1, 9)))
    figures = winner_section.build_winner_section(
        make_summary(replace(study, readings=(alike,)))
    ).values["figures"]
    assert (figures[-1]["value"], figures[-1]["note"]) == ("all equal", "90.0 % each")


def test_durations_are_formatted_in_two_units() -> None:
    assert [format_duration(s) for s in (4.6, 59.9, 200, 7500)] == [
        "5 s",
        "1 min 0 s",
        "3 min 20 s",
        "2 h 5 min",
    ]


def test_the_kept_model_is_trained_again_and_not_its_trial(study: StudyRun) -> None:
    """The registered model is the best confirmation run's, which has another seed."""
    facts = {"command": "harness run-study shirts", CONFIRM_FACT: "the best 1 setting over 1 seed"}
    recorded = replace(study, facts=facts)
    champion = recorded.rank_trials()[0]
    kept = replace(
        champion, uid=f"{champion.uid}{CONFIRM_INFIX}0.7", spec=replace(champion.spec, seed=7)
    )
    summary = make_summary(replace(recorded, confirmation_runs=(kept,)))
    assert summary.model_run.spec.seed == 7
    commands = commands_section.build_commands_section(summary).values["commands"]
    (again,) = (each for each in commands if each["title"] == "Train the champion again")
    assert "--seed=7" in again["text"]


def test_the_champions_settings_are_in_whole_words() -> None:
    spec = TrialSpec(hidden=(72, 69), batch_norm="before", learning_rate=0.0242)
    assert winner_section.describe_in_words(spec) == (
        "hidden layers 72-69 · batch norm before the activation · adam, learning rate 0.0242"
    )
    assert winner_section.describe_in_words(TrialSpec(hidden=())).startswith(
        "no hidden layer · adam"
    )


@pytest.mark.parametrize(("count", "number"), [(12, 2), (13, 1), (26, 1)])
def test_many_classes_have_one_wide_confusion_matrix_with_numbers(
    study: StudyRun, count: int, number: int
) -> None:
    cells = tuple(tuple(int(row == column) for column in range(count)) for row in range(count))
    classes = tuple(f"class {index}" for index in range(count))
    many = replace(study, classes=classes, readings=(replace(READING, confusion=cells),))
    plots = confusion_matrix.build_plots(make_summary(many))
    assert len(plots) == number
    assert plots[0].wide == (number == 1)
    assert plots[0].figure.data[0].texttemplate == "%{text}"


def test_a_note_is_below_the_title_of_its_plot(study: StudyRun) -> None:
    page = build_study_page(make_summary(study))
    notes = [plot.note for section in page.sections for plot in section.all_plots if plot.note]
    assert notes
    html = page.render_inline()
    assert html.count('</figcaption><p class="note">') == len(notes)
    assert not any(note in section.text for section in page.sections for note in notes)


@pytest.mark.parametrize(("epochs", "step"), [(2, 1), (30, None)])
def test_few_epochs_have_a_tick_each(epochs: int, step: int | None) -> None:
    run = make_run(0, "COMPLETE", [0.5] * epochs)
    curves = learning_curves.compute_learning_curves([(0, run)])
    assert learning_curves.build_curve_plots(curves)[0].figure.layout.xaxis.dtick == step
