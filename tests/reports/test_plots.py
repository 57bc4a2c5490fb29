"""The data of the report's plots, what the page relies on, and the recommendations."""

from __future__ import annotations

import json
import math
import random
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import optuna
import plotly.graph_objects as go
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from harness.analysis.contenders import Contender, Contenders
from harness.analysis.corrected_score import CorrectedScore
from harness.config import loader
from harness.config.search_space import Range
from harness.metrics import ACCURACY
from harness.reports import parameter_axes, ranges, recommendations
from harness.reports.commands import (
    build_changed_command,
    build_continue_command,
    build_train_command,
)
from harness.reports.plots import (
    importance,
    optimization_history,
    parallel_coordinates,
    pareto,
    scatter,
    slice,
    timeline,
)
from harness.reports.plots.base import Plot
from harness.reports.plots.style import NEUTRAL
from harness.results import EpochMetrics
from harness.tracking.types import RunRecord, State, StudyRun
from harness.trial import TrialSpec

SPACE: dict[str, Any] = {
    "depth": {"low": 1.0, "high": 3.0},
    "width": {"low": 16.0, "high": 256.0, "log": True},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "batch_norm": ["none", "before", "after"],
    "l2": {"low": 1e-6, "high": 1e-3, "log": True, "zero": 0.5},
    "dropout": {"low": 0.0, "high": 0.5},
}
IMAGES = 1000
"""Validation images in each of two classes."""


def make_run(
    number: int,
    accuracy: float | list[float] = 0.9,
    state: State = "COMPLETE",
    *,
    started: float = 100.0,
    seconds: float = 1.0,
    worker: str = "worker 0",
    parameters: int = 1000,
    train: float = 0.0,
    **spec: Any,
) -> RunRecord:
    """Make a trial from its validation accuracies; `train` is added for training accuracies."""
    curve = accuracy if isinstance(accuracy, list) else [accuracy]
    curve = curve if state in ("COMPLETE", "PRUNED") else []
    epochs = tuple(
        EpochMetrics(
            epoch=index + 1,
            train_loss=1 - value,
            train_accuracy=value + train,
            penalty=0.0,
            val_loss=1 - value,
            val_accuracy=value,
            learning_rate=1e-3,
            seconds=seconds,
            time=started + (index + 1) * seconds,
        )
        for index, value in enumerate(curve)
    )
    best = max(epochs, key=lambda epoch: epoch.val_accuracy, default=None)
    right = round(IMAGES * best.val_accuracy) if best else 0
    return RunRecord(
        uid=f"u/{number}",
        run_id=f"r{number}",
        number=number,
        state=state,
        spec=TrialSpec(**({"hidden": (32, 96), "epochs": max(1, len(curve))} | spec)),
        worker=worker,
        started=started,
        ended=started + max(1, len(curve)) * seconds,
        metrics={"best/val_accuracy": best.val_accuracy, "best/val_loss": best.val_loss}
        if best
        else {},
        epochs=epochs,
        best=best,
        parameters=parameters,
        confusion=((right, IMAGES - right), (IMAGES - right, right)) if best else (),
    )


def make_study(
    trials: list[RunRecord], space: dict[str, Any] | None = None, objective: str = "val/accuracy"
) -> StudyRun:
    return StudyRun(
        name="quickstart",
        uid="u",
        run_id="r",
        experiment_id="1",
        facts={},
        classes=("Shirt", "Coat"),
        definition={
            "study": {"objective": objective},
            "train": {"epochs": 10},
            "space": SPACE if space is None else space,
        },
        readings=(),
        started=0.0,
        ended=None,
        trials=tuple(trials),
    )


def make_large_study(count: int) -> StudyRun:
    """Make a random study (seeded): the learning rate decides, the other fields are noise."""
    rng = random.Random(0)
    trials = []
    for number in range(count):
        rate = 10 ** rng.uniform(-4, -1)
        accuracy = 0.9 - 0.05 * (math.log10(rate) + 2) ** 2
        state: State = rng.choice(["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "PRUNED", "FAILED"])
        trial = make_run(
            number,
            accuracy + 0.001 * rng.random(),
            state,
            started=10.0 * (number // 4),
            seconds=5 + 4 * rng.random(),
            worker=f"worker {number % 2}",
            parameters=rng.randrange(1000, 100_000),
            hidden=tuple(rng.randrange(16, 257) for _ in range(rng.randrange(1, 4))),
            learning_rate=rate,
            batch_norm=rng.choice(SPACE["batch_norm"]),
            l2=rng.choice([0.0, 10 ** rng.uniform(-6, -3)]),
            dropout=0.5 * rng.random(),
        )
        trials.append(trial)
    return make_study(trials)


@pytest.fixture(scope="module")
def many() -> StudyRun:
    return make_large_study(2000)


def draw_all_plots(recorded: StudyRun) -> list[Plot]:
    """Draw every plot that these tests cover."""
    return [
        Plot("importance", "", importance.draw_importance(importance.compute_importance(recorded))),
        Plot(
            "parallel",
            "",
            parallel_coordinates.draw_parallel_coordinates(
                parallel_coordinates.compute_parallel_coordinates(recorded)
            ),
        ),
        Plot(
            "history",
            "",
            optimization_history.draw_history(optimization_history.compute_history(recorded)),
        ),
        Plot("timeline", "", timeline.draw_timeline(timeline.compute_timeline(recorded))),
        *slice.build_slice_plots(slice.compute_slices(recorded)),
        *pareto.build_tradeoff_plots(pareto.compute_tradeoffs(recorded)),
    ]


def read_figure(figure: go.Figure) -> dict[str, Any]:
    """Return the figure as the page reads it. NaN is an error."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content: dict[str, Any] = json.loads(figure.to_json(), parse_constant=refuse)
    content["layout"].pop("template", None)
    return content


def find_numbers(figure: go.Figure) -> tuple[set[int], set[int]]:
    """Return the numbers of the drawn trials, and of the hidden ones in `meta`."""
    content = read_figure(figure)
    numbers = [each for trace in content["data"] for each in trace.get("customdata", [])]
    hidden = content["layout"].get("meta", {}).get("hidden", [])
    hidden_numbers = [number for part in hidden for number in part["customdata"]]
    return set(numbers) - {None}, set(hidden_numbers) - {None}


def find_overrides(command: str) -> Iterator[str]:
    words = shlex.split(command)
    return (value for word, value in pairwise(words) if word == "--set")


# --- axes


def test_every_search_space_field_is_an_axis() -> None:
    trials = [
        make_run(0, hidden=(16, 64), learning_rate=1e-2, batch_norm="after", l2=0.0, dropout=0.25),
        make_run(1, hidden=(100,), learning_rate=1e-4, batch_norm="none", l2=1e-5),
        make_run(2, state="INTERRUPTED"),
        make_run(3, state="FAILED", l2=1e-3),
    ]
    axes = {each.name: each for each in parameter_axes.build_parameter_axes(make_study(trials))}
    assert list(axes) == list(SPACE)
    assert axes["depth"].positions == {0: 2, 1: 1, 3: 2}, "an interrupted attempt is left out"
    assert [text for _, text in axes["depth"].ticks] == ["1", "2", "3"]
    assert axes["width"].texts == {0: "40", 1: "100", 3: "64"}
    assert axes["learning_rate"].kind == "log"
    assert axes["learning_rate"].positions[0] == pytest.approx(-2)
    assert [text for _, text in axes["learning_rate"].ticks] == ["1e-4", "1e-3", "0.01", "0.1"]
    assert axes["batch_norm"].positions == {0: 2, 1: 0, 3: 0}
    assert axes["l2"].positions == {0: -6.5, 1: pytest.approx(-5), 3: pytest.approx(-3)}
    assert axes["l2"].ticks[0] == (-6.5, "0")
    assert axes["dropout"].texts[0] == "0.25"
    assert [text for _, text in axes["dropout"].ticks][:2] == ["0", "0.1"]
    for each in axes.values():
        for number in each.positions:
            assert 0 <= each.fraction(each.draw_position(number)) <= 1


def test_values_outside_the_space_are_shown_as_text() -> None:
    space = {
        "hidden": [[300, 100], []],
        "batch_norm": ["none"],
        "optimizer": {"of": "a later version"},
        "momentum": "a word",
        "no_field_of_ours": [1, 2],
        "width": [16, 64],
    }
    trials = [
        make_run(0, hidden=(300, 100)),
        make_run(1, hidden=()),
        make_run(2, batch_norm="after"),
    ]
    axes = {
        each.name: each for each in parameter_axes.build_parameter_axes(make_study(trials, space))
    }
    assert axes["hidden"].texts == {0: "300-100", 1: "none", 2: "32-96"}
    assert axes["hidden"].positions == {0: 0, 1: 1, 2: 2}, "the last is not on the list"
    assert [text for _, text in axes["batch_norm"].ticks] == ["none", "after"]
    assert axes["optimizer"].texts[0] == "adam"
    assert axes["momentum"].kind == "choice"
    assert "no_field_of_ours" not in axes
    assert axes["width"].kind == "log", "a mean of choices is not one of them"
    assert axes["width"].positions.keys() == {0, 2}, "a linear classifier has no width"


def test_ticks_are_few_and_inside() -> None:
    for low, high in ((1e-7, 1.0), (16, 256), (30, 33), (1e-4, 3e-2), (1, 1e12)):
        space = {"l2": {"low": low, "high": high, "log": True}}
        (axis,) = parameter_axes.build_parameter_axes(
            make_study([make_run(0, l2=low), make_run(1, l2=high)], space)
        )
        assert 2 <= len(axis.ticks) <= parameter_axes.MAX_TICKS
        assert all(axis.low - 1e-6 <= place <= axis.high + 1e-6 for place, _ in axis.ticks)
    for low, high in ((0.0, 0.5), (0.0, 0.9), (16.0, 512.0), (0.1, 0.1001)):
        space = {"batch_size": {"low": low, "high": high}}
        (axis,) = parameter_axes.build_parameter_axes(
            make_study([make_run(0, batch_size=20)], space)
        )
        assert 2 <= len(axis.ticks) <= parameter_axes.MAX_TICKS


# --- which part of an axis, and which points


def test_bad_trials_do_not_squeeze_the_good_ones() -> None:
    low, high = scatter.compute_axis_range(
        [0.90, 0.91, 0.92, 0.93, 0.1], [0.2, 0.89], "val/accuracy"
    )
    assert 0.88 < low < 0.89
    assert 0.93 < high < 0.94
    low, high = scatter.compute_axis_range([0.10, 0.09, 0.08, 0.07, 2.3], [], "val/loss")
    assert 0.06 < low < 0.07
    assert 0.10 < high < 0.11
    low, high = scatter.compute_axis_range([0.5], [], "val/accuracy")
    assert low < 0.5 < high
    assert scatter.compute_axis_range([], [0.3, 0.4], "val/accuracy")[0] < 0.4
    assert scatter.compute_axis_range([0.90, 0.91, 0.91], [0.95], "val/accuracy")[1] > 0.95, (
        "better is inside"
    )


def test_hidden_trials_are_spread_evenly() -> None:
    visible, hidden = scatter.select_drawn(range(2000), 400, 100)
    assert visible[:100] == list(range(100))
    assert len(visible) == 400
    assert sorted(visible + hidden) == list(range(2000))
    gaps = [b - a for a, b in pairwise(visible[100:])]
    assert max(gaps) <= 7
    assert scatter.select_drawn(range(400), 400, 100) == (list(range(400)), [])


# --- importance


def test_importance_ranks_the_deciding_field_first(many: StudyRun) -> None:
    result = importance.compute_importance(many)
    assert result.shares[0][0] == "learning_rate"
    assert result.shares[0][1] > 0.8
    assert sum(share for _, share in result.shares) == pytest.approx(1)
    assert result.trials == 2000
    assert result.best == pytest.approx(200, abs=5)


def test_importance_equals_optunas_on_the_same_bins(many: StudyRun) -> None:
    ranks = importance.rank_trials(many)
    bins = {
        factor.name: importance.bin_values(factor)
        for factor in parameter_axes.build_parameter_axes(many)
    }
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna_study = optuna.create_study(direction="minimize")
    optuna_study.add_trials(
        optuna.create_trial(
            params={name: each[number] for name, each in bins.items()},
            distributions={
                name: CategoricalDistribution(sorted(set(each.values())))
                for name, each in bins.items()
            },
            value=float(rank),
        )
        for number, rank in ranks.items()
    )
    evaluator = PedAnovaImportanceEvaluator(target_quantile=importance.BEST_SHARE)
    expected = get_param_importances(optuna_study, evaluator=evaluator)
    assert dict(importance.compute_importance(many).shares) == pytest.approx(expected, abs=1e-9)


def test_importance_needs_trials_that_differ() -> None:
    few = [make_run(number, 0.5 + 0.01 * number, dropout=0.01 * number) for number in range(9)]
    assert importance.compute_importance(make_study(few)) == importance.Importance()
    same = [make_run(number, 0.5 + 0.01 * number) for number in range(30)]
    assert importance.compute_importance(make_study(same)) == importance.Importance(), (
        "nothing was varied"
    )
    tied = [make_run(number, 0.5, dropout=0.01 * number) for number in range(30)]
    assert importance.compute_importance(make_study(tied)) == importance.Importance(), (
        "all are equally good"
    )
    assert importance.compute_importance(
        make_study([*few, make_run(9, 0.9, dropout=0.3)])
    ).shares == (("dropout", 1.0),)


def test_importance_of_settings_without_effect_is_within_noise() -> None:
    rng = np.random.default_rng(0)
    beyond = []
    for _ in range(60):
        values = rng.random((40, 4))
        runs = [
            make_run(
                number,
                row[0],
                dropout=row[1],
                l2=row[2],
                batch_norm=("none", "before")[int(2 * row[3])],
            )
            for number, row in enumerate(values.tolist())
        ]
        result = importance.compute_importance(make_study(runs))
        beyond.append(len(result.significant) > 0)
        if not result.significant:
            assert "No setting stands out: noise alone gives up to " in result.describe()
            colours = importance.draw_importance(result).data[0].marker.color
            assert set(colours) == {NEUTRAL}
    assert np.mean(beyond) <= 0.15, "5 % in the long run"


def test_importance_beyond_noise_is_named(many: StudyRun) -> None:
    result = importance.compute_importance(many)
    assert result.significant[0] == "learning_rate"
    assert 0 < result.noise < 0.2
    assert "(dotted line); above it: learning_rate" in result.describe()
    figure = importance.draw_importance(result)
    assert figure.layout.shapes[0].x0 == result.noise
    assert importance.compute_importance(many) == result, "the shuffles repeat exactly"


def test_a_pruned_trial_is_never_among_the_best() -> None:
    complete = [
        make_run(
            number,
            0.5 + 0.01 * number,
            dropout=0.1 if number > 8 else 0.4,
            l2=[0, 1e-4][number % 2],
        )
        for number in range(12)
    ]
    pruned = [make_run(12 + number, 0.99, "PRUNED", dropout=0.4, l2=1e-5) for number in range(8)]
    result = importance.compute_importance(
        make_study([*complete, *pruned, make_run(20, state="FAILED")])
    )
    assert result.best == 3, "a tenth of 21, of the complete ones"
    assert result.shares[0][0] == "dropout"


# --- the plots


def test_slices_show_complete_and_pruned_trials() -> None:
    trials = [
        make_run(0, 0.8, dropout=0.1),
        make_run(1, 0.9, dropout=0.2, batch_norm="after"),
        make_run(2, 0.7, "PRUNED", dropout=0.3),
        make_run(3, state="FAILED"),
        make_run(4, state="INTERRUPTED"),
    ]
    slices = slice.compute_slices(make_study(trials))
    dropout = slices[-1]
    assert [(point.number, point.x, point.y) for point in dropout.points] == [
        (1, 0.2, 0.9),
        (0, 0.1, 0.8),
        (2, 0.3, 0.7),
    ]
    assert [point.complete for point in dropout.points] == [True, True, False]
    norm = slices[3].points
    assert 1.75 <= norm[0].x <= 2.25, "near its choice"
    plots = slice.build_slice_plots(slices)
    assert [plot.name for plot in plots][2:4] == ["slice-learning-rate", "slice-batch-norm"]
    by_loss = slice.compute_slices(make_study(trials, objective="val/loss"))
    assert [point.number for point in by_loss[0].points] == [1, 0, 2]


def test_parallel_coordinates_end_at_the_objective_and_draw_the_best_last() -> None:
    trials = [
        make_run(number, 0.8 + 0.001 * number, dropout=0.005 * number) for number in range(100)
    ]
    coordinates = parallel_coordinates.compute_parallel_coordinates(
        make_study([*trials, make_run(100, 0.1, "PRUNED"), make_run(101, state="FAILED")])
    )
    assert [axis.name for axis in coordinates.axes] == [*SPACE, "val accuracy"]
    assert len(coordinates.lines) == 101
    assert coordinates.lines[0].number == 99
    assert coordinates.lines[-1].heights[-1] == 0, "below the axis"
    assert coordinates.lines[0].heights[-2] == 0.99
    best = read_figure(parallel_coordinates.draw_parallel_coordinates(coordinates))["data"][-1]
    assert set(best["customdata"]) == {95, 96, 97, 98, 99, None}
    assert best["x"][: len(SPACE) + 2] == [*range(len(SPACE) + 1), None]


def test_the_pareto_front_has_the_trials_that_no_other_dominates() -> None:
    trials = [
        make_run(0, 0.80, parameters=100, seconds=9),
        make_run(1, 0.79, parameters=200, seconds=1),
        make_run(2, 0.90, parameters=300, seconds=9),
        make_run(3, 0.95, parameters=0, seconds=9),
        make_run(4, 0.90, parameters=250, seconds=10),
        make_run(5, 0.99, "PRUNED", parameters=1),
    ]
    tradeoffs = pareto.compute_tradeoffs(make_study(trials))
    assert [point.number for point in tradeoffs.parameters.front] == [0, 4]
    assert {point.number for point in tradeoffs.parameters.points} == {0, 1, 2, 4}
    assert [point.number for point in tradeoffs.seconds.front] == [1, 3]
    assert {point.number for point in tradeoffs.seconds.points} == {0, 1, 2, 3, 4}


def test_the_whole_pareto_front_is_drawn() -> None:
    cheap = [
        make_run(600 + n, 0.1 + 0.01 * n, parameters=1 + n, seconds=1e-3 * (1 + n))
        for n in range(20)
    ]
    expensive = [
        make_run(n, 0.9 - 1e-4 * n, parameters=1000 + n, seconds=1 + n) for n in range(600)
    ]
    tradeoffs = pareto.compute_tradeoffs(make_study([*expensive, *cheap]))
    assert len(tradeoffs.parameters.front) == len(tradeoffs.seconds.front) == 21
    for plot, each in zip(
        pareto.build_tradeoff_plots(tradeoffs),
        (tradeoffs.parameters, tradeoffs.seconds),
        strict=True,
    ):
        numbers, hidden = find_numbers(plot.figure)
        assert hidden
        assert {point.number for point in each.front} <= numbers
        front = next(t for t in read_figure(plot.figure)["data"] if t.get("name") == "Pareto front")
        assert "customdata" not in front


def test_the_history_steps_up_with_complete_trials_only() -> None:
    trials = [
        make_run(0, 0.5),
        make_run(1, 0.9, "PRUNED"),
        make_run(2, 0.4),
        make_run(4, 0.6),
        make_run(5, state="FAILED"),
        make_run(7, 0.55, "PRUNED"),
    ]
    history = optimization_history.compute_history(make_study(trials))
    assert history.best == ((0, 0.5), (4, 0.6), (7, 0.6))
    assert [point.number for point in history.points] == [1, 4, 7, 0, 2]
    losses = optimization_history.compute_history(make_study(trials, objective="val/loss"))
    assert losses.best == ((0, 0.5), (4, 0.4), (7, 0.4))


def test_trials_that_ran_at_once_have_different_timeline_lanes() -> None:
    trials = [
        make_run(0, [0.5] * 10, started=1000.0, worker="worker 10"),
        make_run(1, [0.5] * 5, started=1002.0, worker="worker 10"),
        make_run(2, [0.5] * 2, started=1008.0, worker="worker 10"),
        make_run(3, [0.5] * 4, "PRUNED", started=1001.0, worker="worker 9"),
        replace(make_run(4, state="INTERRUPTED"), worker=""),
    ]
    waited = replace(trials[3], started=900.0)  # suggested long before its training began
    result = timeline.compute_timeline(make_study([*trials[:3], waited, trials[4]]))
    assert result.lanes == (("worker 9", 0, 1), ("worker 10", 1, 2))
    assert {bar.number: bar.lane for bar in result.bars} == {0: 1, 1: 2, 2: 2, 3: 0}
    assert {bar.number: (bar.start, bar.end) for bar in result.bars}[3] == (1, 5)
    assert result.unit == "seconds"
    assert not result.cuts


def compute_node_timeline(workers: Sequence[str]) -> timeline.Timeline:
    return timeline.compute_timeline(
        make_study([make_run(i, [0.5], worker=name) for i, name in enumerate(workers)])
    )


def test_the_workers_of_a_node_are_adjacent_in_the_timeline() -> None:
    result = compute_node_timeline(["node-10/1", "node-2/12", "node-2/3", "worker 0", "node-10/4"])
    assert [name for name, *_ in result.lanes] == [
        "node-2/3",
        "node-2/12",
        "node-10/1",
        "node-10/4",
        "worker 0",
    ]
    assert result.nodes == [("node-2", 0, 2), ("node-10", 2, 2), ("", 4, 1)]
    layout = read_figure(timeline.draw_timeline(result))["layout"]
    assert layout["yaxis"]["ticktext"] == ["node-2/3", "/12", "node-10/1", "/4", "worker 0"]
    assert [(shade["y0"], shade["y1"]) for shade in layout["shapes"]] == [(1.5, 3.5)]
    local = timeline.draw_timeline(compute_node_timeline(["worker 0", "worker 1"])).layout
    assert (local.yaxis.ticktext, local.shapes) == (("worker 0", "worker 1"), ())


def test_unusual_node_names_can_be_sorted() -> None:
    result = compute_node_timeline(["m²/0", "7/1", "/2", "x"])
    assert {name for name, *_ in result.lanes} == {"m²/0", "7/1", "/2", "x"}


def test_many_workers_are_labelled_by_their_nodes() -> None:
    names = [f"node-{i % 3}/{i}" for i in range(96)]
    axis = timeline.draw_timeline(compute_node_timeline(names)).layout.yaxis
    assert axis.ticktext == ("node-0", "node-1", "node-2")
    assert axis.tickvals == (15.5, 47.5, 79.5)
    axis = timeline.draw_timeline(
        compute_node_timeline([f"worker {i}" for i in range(96)])
    ).layout.yaxis
    assert axis.ticktext[:2] == ("worker 0", "worker 4")


def test_a_long_pause_is_cut_out_of_the_timeline() -> None:
    night = 9 * 3600.0
    trials = [make_run(0, [0.5] * 300), make_run(1, [0.5] * 300, started=400 + night)]
    result = timeline.compute_timeline(make_study(trials))
    assert result.unit == "minutes"
    first, second = result.bars
    assert (first.start, first.end) == (0, 5)
    assert 5 < second.start < 5.5
    assert second.end - second.start == pytest.approx(5)
    ((when, length),) = result.cuts
    assert first.end < when < second.start
    assert length == night
    assert "9 h 0 min" in timeline.draw_timeline(result).layout.xaxis.title.text


# --- what the page relies on


def test_every_plot_contains_every_trial(many: StudyRun) -> None:
    states = {trial.number: trial.state for trial in many.trials}
    complete = {number for number, state in states.items() if state == "COMPLETE"}
    trained = complete | {number for number, state in states.items() if state == "PRUNED"}
    expected = {"timeline": set(states), "accuracy-parameters": complete}
    expected["accuracy-seconds"] = complete
    for plot in draw_all_plots(many):
        numbers, hidden = find_numbers(plot.figure)
        if plot.name == "importance":
            continue
        assert numbers | hidden == expected.get(plot.name, trained), plot.name
        assert not numbers & hidden
        if plot.name != "timeline":
            assert len(numbers) <= 420, f"{plot.name} draws too much"
            best = {trial.number for trial in many.rank_trials()[:5]}
            assert best <= numbers, plot.name


def test_the_columns_of_a_trace_have_one_length(many: StudyRun) -> None:
    for plot in draw_all_plots(many):
        content = read_figure(plot.figure)
        hidden = content["layout"].get("meta", {}).get("hidden", [])
        for part in (*content["data"], *hidden):
            lengths = {len(part[key]) for key in ("x", "y", "customdata", "text") if key in part}
            assert len(lengths) <= 1, plot.name
        for part in hidden:
            assert content["data"][part["trace"]]["type"] == "scatter"
        assert len(content["data"]) <= 8, "few traces"


HOSTILE = "<b onclick=alert(1)>%{x}&"


def test_hostile_names_and_values_are_escaped() -> None:
    space = {HOSTILE: [1], "optimizer": [HOSTILE], "activation": [HOSTILE, "relu"]}
    trials = [
        make_run(number, 0.5 + 0.01 * number, worker=HOSTILE, dropout=0.01 * number)
        for number in range(20)
    ]
    for plot in draw_all_plots(make_study(trials, space | {"dropout": SPACE["dropout"]})):
        text = json.dumps(read_figure(plot.figure))
        assert "<b o" not in text, plot.name
        templates = [trace.get("hovertemplate") or "" for trace in read_figure(plot.figure)["data"]]
        assert "onclick" not in "".join(templates)
    (hostile_slice,) = slice.compute_slices(
        make_study([make_run(0, dropout=0.1)], {"dropout": [0.1]})
    )
    axis = replace(hostile_slice.axis, name=HOSTILE, ticks=((0.0, HOSTILE),))
    point = replace(hostile_slice.points[0], text=HOSTILE)
    (plot,) = slice.build_slice_plots((replace(hostile_slice, axis=axis, points=(point,)),))
    assert plot.name == "slice-b-onclick-alert-1-x"
    assert "<b o" not in json.dumps(read_figure(plot.figure))
    axis, line = (
        parallel_coordinates.Axis(HOSTILE, (HOSTILE,) * 2, ()),
        parallel_coordinates.Line(0, (0.5,), (HOSTILE,)),
    )
    chosen = parallel_coordinates.Axis("", ("", ""), ((0.5, HOSTILE),))
    lines = parallel_coordinates.ParallelCoordinates((axis, chosen), (line,))
    assert "<b o" not in json.dumps(
        read_figure(parallel_coordinates.draw_parallel_coordinates(lines))
    )
    shares = importance.draw_importance(importance.Importance(((HOSTILE, 1.0),), 1, 10))
    assert "<b o" not in json.dumps(read_figure(shares))


EMPTY = {
    "no trials": make_study([]),
    "no space": replace(
        make_study([make_run(0), make_run(1)]), definition={"study": {"objective": "val/accuracy"}}
    ),
    "empty space": make_study([make_run(0), make_run(1, 0.8)], {}),
    "one trial": make_study([make_run(0)]),
    "none complete": make_study([make_run(0, 0.5, "PRUNED"), make_run(1, 0.6, "PRUNED")]),
    "all failed": make_study([make_run(0, state="FAILED"), make_run(1, state="FAILED")]),
    "all running": make_study([replace(make_run(0, state="RUNNING"), ended=None)]),
    "by loss": make_study(
        [make_run(0), make_run(1, 0.8), make_run(2, 0.7, "PRUNED")], objective="val/loss"
    ),
    "no epochs": make_study([replace(make_run(0), epochs=(), best=None, confusion=())]),
}


@pytest.mark.parametrize("recorded", EMPTY.values(), ids=EMPTY.keys())
def test_small_and_empty_studies_are_drawn(recorded: StudyRun) -> None:
    for plot in draw_all_plots(recorded):
        read_figure(plot.figure)
    ranked = recorded.rank_trials()
    if ranked and ranked[0].best:
        recommendations.recommend(recorded, ranked[0], None)


# --- recommendations


def list_titles(recorded: StudyRun) -> list[str]:
    return [
        each.title for each in recommendations.recommend(recorded, recorded.rank_trials()[0], None)
    ]


def make_mid_range_run(number: int, accuracy: float | list[float] = 0.9, **more: Any) -> RunRecord:
    """Make a trial in the middle of every range."""
    return make_run(
        number, accuracy, **({"learning_rate": 3e-3, "dropout": 0.25, "l2": 1e-4} | more)
    )


def test_there_is_no_advice_without_evidence() -> None:
    assert list_titles(make_study([make_mid_range_run(0, 0.999), make_mid_range_run(1, 0.8)])) == []


def test_a_champion_at_an_edge_widens_the_range() -> None:
    champion = make_mid_range_run(0, 0.999, learning_rate=0.09)
    others = [make_mid_range_run(1), make_mid_range_run(2)]
    assert recommendations.recommend(make_study([champion, others[0]]), champion, None) == (), (
        "two trials are too few"
    )
    (recommendation,) = recommendations.recommend(make_study([champion, *others]), champion, None)
    assert recommendation.title == "Widen the range of learning_rate"
    assert "1 of the best 3" in recommendation.why
    config = loader.load("quickstart", list(find_overrides(recommendation.command)))
    assert config.study.name == "quickstart-wider"
    wider: Any = config.space.dimensions["learning_rate"]
    assert (wider.low, wider.high, wider.log) == (1e-4, 1.0, True)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("hidden", (64,) * 3, {"high": 4}),
        ("hidden", (64,), None),
        ("hidden", (250, 250), {"high": 512}),
        ("hidden", (16, 16), {"low": 8}),
        ("learning_rate", 1e-4, {"low": 1e-5}),
        ("l2", 0.0, None),
        ("l2", 1.1e-6, None),
        ("l2", 1e-3, {"high": 1e-2}),
        ("dropout", 0.0, None),
        ("dropout", 0.49, {"high": 0.75}),
    ],
)
def test_a_range_is_widened_where_values_beyond_it_are_valid(
    setting: str, value: Any, expected: dict[str, float] | None
) -> None:
    recorded = make_study([make_mid_range_run(0, **{setting: value})])
    changes = {}
    for factor in parameter_axes.build_parameter_axes(recorded):
        table = SPACE[factor.name]
        wider = ranges.widen_range(factor, table, 0)
        if wider:
            changes |= {key: wider[key] for key in wider if wider[key] != table[key]}
    assert changes == (expected or {})


def test_failures_above_a_value_lower_the_top_of_the_range() -> None:
    rates = {0: 1e-3, 1: 2e-3, 2: 3e-3}
    good = [make_mid_range_run(number, 0.9, learning_rate=rate) for number, rate in rates.items()]
    bad = [make_run(3 + n, state="FAILED", learning_rate=0.01 * (1 + n)) for n in range(4)]
    (recommendation,) = [
        each
        for each in recommendations.recommend(make_study([*good, *bad]), good[0], None)
        if each.title.startswith("Lower")
    ]
    assert recommendation.title == "Lower the upper end of learning_rate"
    assert "4 of 7 trials failed, 4 of them with a learning_rate above 0.003" in recommendation.why
    config = loader.load("quickstart", list(find_overrides(recommendation.command)))
    dimension = config.space.dimensions["learning_rate"]
    assert isinstance(dimension, Range)
    assert dimension.high == 0.003
    mixed = [replace(each, spec=good[0].spec) for each in bad]
    assert not [
        each
        for each in recommendations.recommend(make_study([*good, *mixed]), good[0], None)
        if each.title.startswith("Lower")
    ]


def test_a_rising_curve_leads_to_advice_to_train_longer() -> None:
    rising = make_mid_range_run(0, [0.99 + 0.0009 * index for index in range(10)])
    (recommendation,) = recommendations.recommend(make_study([rising]), rising, None)
    assert recommendation.title == "Train longer"
    assert "epoch is 10 of 10" in recommendation.why
    assert (
        loader.load("quickstart", list(find_overrides(recommendation.command))).train["epochs"]
        == 20
    )
    flat = make_mid_range_run(0, [0.9981, *[0.9982] * 8, 0.9983])
    assert list_titles(make_study([flat])) == [], "the last epoch is best by a negligible margin"
    early = make_mid_range_run(0, [0.99, 0.999, *[0.99] * 8])
    assert list_titles(make_study([early])) == []
    assert list_titles(make_study([rising], SPACE | {"epochs": [10]})) == []


def test_overfitting_leads_to_advice_to_sample_regularization() -> None:
    overfitted = make_mid_range_run(0, 0.95, train=0.04, dropout=0.0, l2=0.0)
    space = {"dropout": SPACE["dropout"]}
    (recommendation,) = [
        each
        for each in recommendations.recommend(make_study([overfitted], space), overfitted, None)
        if "sample" in each.title
    ]
    assert recommendation.title == "Regularize: sample l2 and label_smoothing"
    assert "99.0 %" in recommendation.why
    config = loader.load("quickstart", list(find_overrides(recommendation.command)))
    assert "label_smoothing" in config.space.dimensions
    assert list_titles(make_study([make_mid_range_run(0, 0.998, train=0.002)], space)) == []
    with_dropout = make_mid_range_run(0, 0.95, train=0.04, l2=0.0)
    assert "Regularize: sample l2 and label_smoothing" in list_titles(
        make_study([with_dropout], {})
    )


def test_a_smaller_network_is_recommended_with_evidence() -> None:
    champion, other = (
        make_mid_range_run(0, 0.998, parameters=4100),
        make_mid_range_run(2, 0.996, parameters=1000),
    )

    def build(loss: float, run: RunRecord = other) -> CorrectedScore:
        contender = Contender(run, 0.001, (-0.002, 0.004), 0.4, largest_loss=loss)
        contenders = Contenders(0.6, (contender,), 9000, ACCURACY)
        return CorrectedScore(
            champion, 0.99, (0.98, 0.995), 3, 9000, contenders, margin=0.5, score=ACCURACY
        )

    study = make_study([champion, other])
    (recommendation,) = recommendations.recommend(study, champion, build(0.004))
    assert recommendation.title == "Consider trial 2: 4.1 times fewer parameters"
    assert (
        "trial 2 is between 0.40 points worse and 0.20 better (95 %). A non-inferiority test at "
        "5 % excludes that it is worse by more than 0.5 points." in recommendation.why
    )
    assert recommendations.recommend(study, champion, build(0.006)) == (), "not shown"
    half = replace(other, parameters=2050)
    assert recommendations.recommend(study, champion, build(0.004, half)) == (), "a small saving"
    assert list_titles(study) == [], "no recommendation without the test"


@pytest.mark.parametrize(
    ("best_at", "title"),
    [(3, "Change the space"), (25, None), (38, "Run more trials")],
)
def test_advice_on_continuing_the_search(best_at: int, title: str | None) -> None:
    trials = [
        make_mid_range_run(number, 0.999 if number == best_at else 0.9) for number in range(40)
    ]
    matches = [
        each
        for each in recommendations.recommend(make_study(trials), trials[best_at], None)
        if each.title.startswith(("Change", "Run"))
    ]
    assert [each.title.startswith(title or "") for each in matches] == [True] * bool(title)
    if title == "Run more trials":
        assert matches[0].command == "harness run-study quickstart --trials 80 --no-test"
        typed = "harness run-study my.toml --trials=40 --seed=3 --set train.epochs=2"
        recorded = replace(make_study(trials), facts={"command": typed})
        commands = [
            each.command for each in recommendations.recommend(recorded, trials[best_at], None)
        ]
        assert commands == [
            "harness run-study my.toml --seed=3 --set train.epochs=2 --trials 80 --no-test"
        ]


def test_a_choice_shared_by_all_the_best_trials_is_fixed() -> None:
    trials = [
        make_mid_range_run(
            number, 0.999 - 0.001 * number, batch_norm="before" if number < 12 else "none"
        )
        for number in range(30)
    ]
    matches = [
        each
        for each in recommendations.recommend(make_study(trials), trials[0], None)
        if each.title.startswith("Fix")
    ]
    assert [each.title for each in matches] == ["Fix batch_norm = before"]
    config = loader.load("quickstart", list(find_overrides(matches[0].command)))
    assert config.train["batch_norm"] == "before"
    assert "batch_norm" not in config.space.dimensions
    alike = [replace(each, spec=replace(each.spec, batch_norm="before")) for each in trials]
    assert not [title for title in list_titles(make_study(alike)) if title.startswith("Fix")]


def test_the_most_confused_pair_of_classes_is_named() -> None:
    champion = replace(make_mid_range_run(0), confusion=((88, 12), (2, 98)))
    (recommendation,) = recommendations.recommend(make_study([champion]), champion, None)
    assert recommendation.why.startswith(
        "Shirt is classified as Coat in 12.0 % of its validation examples (12 of 100; 95 %: 5.8 to "
        "21.2 %)"
    )
    rare = replace(champion, confusion=((98, 2), (2, 98)))
    assert recommendations.recommend(make_study([rare]), rare, None) == ()


def test_advice_is_short(many: StudyRun) -> None:
    champion = many.rank_trials()[0]
    advice = recommendations.recommend(many, champion, None)
    assert 1 <= len(advice) <= recommendations.MAX_RECOMMENDATIONS
    for each in advice:
        loader.load("quickstart", list(find_overrides(each.command)))


def test_commands_in_advice_leave_the_test_set_sealed() -> None:
    """Whoever pastes one must not open the test set without being told."""
    study = make_study([make_run(number) for number in range(3)])
    sealed = replace(study, facts={"command": "harness run-study quickstart --no-test"})
    for each in (study, sealed):
        for command in (
            build_continue_command(each, "--trials", "80"),
            build_changed_command(each, "longer", "train.epochs=9"),
        ):
            assert command.count("--no-test") == 1
    assert "--test" not in build_train_command(study, study.trials[0])
