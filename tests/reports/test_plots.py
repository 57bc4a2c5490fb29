"""Why a trial won and what to try next: the data of these plots, and what they promise the page."""

from __future__ import annotations

import json
import math
import random
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import optuna
import plotly.graph_objects as go
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from harness.analysis.tied_trials import TiedTrials
from harness.config import loader
from harness.config.search_space import Range
from harness.reports import edges, parameter_axes, recommendations
from harness.reports.plots import (
    importance,
    optimization_history,
    parallel_coordinates,
    pareto,
    scatter,
    slice,
    timeline,
)
from harness.reports.plots.style import Plot
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
"""Of validation, in each of two classes."""


def run(
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
    """A trial by its validation accuracies; `train` is its training accuracy above them."""
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


def study(
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


def large(count: int) -> StudyRun:
    """Seeded: the learning rate decides, all else is noise; more are pruned than complete."""
    rng = random.Random(0)
    trials = []
    for number in range(count):
        rate = 10 ** rng.uniform(-4, -1)
        accuracy = 0.9 - 0.05 * (math.log10(rate) + 2) ** 2
        state: State = rng.choice(["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "PRUNED", "FAILED"])
        made = run(
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
        trials.append(made)
    return study(trials)


@pytest.fixture(scope="module")
def many() -> StudyRun:
    return large(2000)


def drawn(made: StudyRun) -> list[Plot]:
    """Every figure of these files about a study."""
    return [
        Plot("importance", "", importance.figure(importance.data(made))),
        Plot("parallel", "", parallel_coordinates.figure(parallel_coordinates.data(made))),
        Plot("history", "", optimization_history.figure(optimization_history.data(made))),
        Plot("timeline", "", timeline.figure(timeline.data(made))),
        *slice.plots(slice.data(made)),
        *pareto.plots(pareto.data(made)),
    ]


def plain(figure: go.Figure) -> dict[str, Any]:
    """As the page gets it; no NaN in it."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found: dict[str, Any] = json.loads(figure.to_json(), parse_constant=refuse)
    found["layout"].pop("template", None)
    return found


def shown(figure: go.Figure) -> tuple[set[int], set[int]]:
    """Numbers of the trials that are drawn, and of those that the page finds in `meta`."""
    found = plain(figure)
    numbers = [each for trace in found["data"] for each in trace.get("customdata", [])]
    hidden = found["layout"].get("meta", {}).get("hidden", [])
    others = [number for part in hidden for number in part["customdata"]]
    return set(numbers) - {None}, set(others) - {None}


def overrides(command: str) -> Iterator[str]:
    words = shlex.split(command)
    return (value for word, value in pairwise(words) if word == "--set")


# --- factors


def test_a_setting_is_an_axis() -> None:
    trials = [
        run(0, hidden=(16, 64), learning_rate=1e-2, batch_norm="after", l2=0.0, dropout=0.25),
        run(1, hidden=(100,), learning_rate=1e-4, batch_norm="none", l2=1e-5),
        run(2, state="INTERRUPTED"),
        run(3, state="FAILED", l2=1e-3),
    ]
    found = {each.name: each for each in parameter_axes.factors(study(trials))}
    assert list(found) == list(SPACE)
    assert found["depth"].positions == {0: 2, 1: 1, 3: 2}, "an interrupted attempt is no trial"
    assert [text for _, text in found["depth"].ticks] == ["1", "2", "3"]
    assert found["width"].shown == {0: "40", 1: "100", 3: "64"}
    assert found["learning_rate"].kind == "log"
    assert found["learning_rate"].positions[0] == pytest.approx(-2)
    assert [text for _, text in found["learning_rate"].ticks] == ["1e-4", "1e-3", "0.01", "0.1"]
    assert found["batch_norm"].positions == {0: 2, 1: 0, 3: 0}
    assert found["l2"].positions == {0: -6.5, 1: pytest.approx(-5), 3: pytest.approx(-3)}
    assert found["l2"].ticks[0] == (-6.5, "0")
    assert found["dropout"].shown[0] == "0.25"
    assert [text for _, text in found["dropout"].ticks][:2] == ["0", "0.1"]
    for each in found.values():
        for number in each.positions:
            assert 0 <= each.share(each.drawn(number)) <= 1


def test_the_unforeseen_is_shown_by_its_text() -> None:
    space = {
        "hidden": [[300, 100], []],
        "batch_norm": ["none"],
        "optimizer": {"of": "a later version"},
        "momentum": "a word",
        "no_field_of_ours": [1, 2],
        "width": [16, 64],
    }
    trials = [run(0, hidden=(300, 100)), run(1, hidden=()), run(2, batch_norm="after")]
    found = {each.name: each for each in parameter_axes.factors(study(trials, space))}
    assert found["hidden"].shown == {0: "300-100", 1: "none", 2: "32-96"}
    assert found["hidden"].positions == {0: 0, 1: 1, 2: 2}, "the last is not on the list"
    assert [text for _, text in found["batch_norm"].ticks] == ["none", "after"]
    assert found["optimizer"].shown[0] == "adam"
    assert found["momentum"].kind == "choice"
    assert "no_field_of_ours" not in found
    assert found["width"].kind == "log", "a mean of choices is none of them"
    assert found["width"].positions.keys() == {0, 2}, "a linear classifier has no width"


def test_ticks_are_few_and_inside() -> None:
    for low, high in ((1e-7, 1.0), (16, 256), (30, 33), (1e-4, 3e-2), (1, 1e12)):
        space = {"l2": {"low": low, "high": high, "log": True}}
        (found,) = parameter_axes.factors(study([run(0, l2=low), run(1, l2=high)], space))
        assert 2 <= len(found.ticks) <= parameter_axes.MOST_TICKS
        assert all(found.low - 1e-6 <= place <= found.high + 1e-6 for place, _ in found.ticks)
    for low, high in ((0.0, 0.5), (0.0, 0.9), (16.0, 512.0), (0.1, 0.1001)):
        space = {"batch_size": {"low": low, "high": high}}
        (found,) = parameter_axes.factors(study([run(0, batch_size=20)], space))
        assert 2 <= len(found.ticks) <= parameter_axes.MOST_TICKS


# --- which part of an axis, and which points


def test_bad_trials_do_not_squeeze_the_good_ones() -> None:
    low, high = scatter.focus([0.90, 0.91, 0.92, 0.93, 0.1], [0.2, 0.89], "val/accuracy")
    assert 0.88 < low < 0.89
    assert 0.93 < high < 0.94
    low, high = scatter.focus([0.10, 0.09, 0.08, 0.07, 2.3], [], "val/loss")
    assert 0.06 < low < 0.07
    assert 0.10 < high < 0.11
    low, high = scatter.focus([0.5], [], "val/accuracy")
    assert low < 0.5 < high
    assert scatter.focus([], [0.3, 0.4], "val/accuracy")[0] < 0.4
    assert scatter.focus([0.90, 0.91, 0.91], [0.95], "val/accuracy")[1] > 0.95, "better is inside"


def test_what_is_left_out_is_spread_evenly() -> None:
    kept, left = scatter.thinned(range(2000), 400, 100)
    assert kept[:100] == list(range(100))
    assert len(kept) == 400
    assert sorted(kept + left) == list(range(2000))
    gaps = [b - a for a, b in pairwise(kept[100:])]
    assert max(gaps) <= 7
    assert scatter.thinned(range(400), 400, 100) == (list(range(400)), [])


# --- importance


def test_importance_finds_what_decides(many: StudyRun) -> None:
    found = importance.data(many)
    assert found.shares[0][0] == "learning_rate"
    assert found.shares[0][1] > 0.8
    assert sum(share for _, share in found.shares) == pytest.approx(1)
    assert found.trials == 2000
    assert found.best == pytest.approx(200, abs=5)


def test_importance_is_optunas_on_the_same_bins(many: StudyRun) -> None:
    ranks = importance._ranks(many)
    bins = {factor.name: importance._binned(factor) for factor in parameter_axes.factors(many)}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    theirs = optuna.create_study(direction="minimize")
    theirs.add_trials(
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
    expected = get_param_importances(theirs, evaluator=evaluator)
    assert dict(importance.data(many).shares) == pytest.approx(expected, abs=1e-9)


def test_importance_needs_trials_that_differ() -> None:
    few = [run(number, 0.5 + 0.01 * number, dropout=0.01 * number) for number in range(9)]
    assert importance.data(study(few)) == importance.Importance()
    same = [run(number, 0.5 + 0.01 * number) for number in range(30)]
    assert importance.data(study(same)) == importance.Importance(), "nothing was varied"
    tied = [run(number, 0.5, dropout=0.01 * number) for number in range(30)]
    assert importance.data(study(tied)) == importance.Importance(), "all are equally good"
    assert importance.data(study([*few, run(9, 0.9, dropout=0.3)])).shares == (("dropout", 1.0),)


def test_a_pruned_trial_is_never_among_the_best() -> None:
    complete = [
        run(
            number,
            0.5 + 0.01 * number,
            dropout=0.1 if number > 8 else 0.4,
            l2=[0, 1e-4][number % 2],
        )
        for number in range(12)
    ]
    pruned = [run(12 + number, 0.99, "PRUNED", dropout=0.4, l2=1e-5) for number in range(8)]
    found = importance.data(study([*complete, *pruned, run(20, state="FAILED")]))
    assert found.best == 3, "a tenth of 21, of the complete ones"
    assert found.shares[0][0] == "dropout"


# --- the plots


def test_slices_show_complete_and_pruned_trials() -> None:
    trials = [
        run(0, 0.8, dropout=0.1),
        run(1, 0.9, dropout=0.2, batch_norm="after"),
        run(2, 0.7, "PRUNED", dropout=0.3),
        run(3, state="FAILED"),
        run(4, state="INTERRUPTED"),
    ]
    found = slice.data(study(trials))
    dropout = found[-1]
    assert [(point.number, point.x, point.y) for point in dropout.points] == [
        (1, 0.2, 0.9),
        (0, 0.1, 0.8),
        (2, 0.3, 0.7),
    ]
    assert [point.complete for point in dropout.points] == [True, True, False]
    norm = found[3].points
    assert 1.75 <= norm[0].x <= 2.25, "beside its choice"
    plots = slice.plots(found)
    assert [plot.name for plot in plots][2:4] == ["slice-learning-rate", "slice-batch-norm"]
    by_loss = slice.data(study(trials, objective="val/loss"))
    assert [point.number for point in by_loss[0].points] == [1, 0, 2]


def test_parallel_coordinates_end_at_the_objective_and_draw_the_best_last() -> None:
    trials = [run(number, 0.8 + 0.001 * number, dropout=0.005 * number) for number in range(100)]
    found = parallel_coordinates.data(
        study([*trials, run(100, 0.1, "PRUNED"), run(101, state="FAILED")])
    )
    assert [axis.name for axis in found.axes] == [*SPACE, "val accuracy"]
    assert len(found.lines) == 101
    assert found.lines[0].number == 99
    assert found.lines[-1].heights[-1] == 0, "far below what is shown"
    assert found.lines[0].heights[-2] == 0.99
    best = plain(parallel_coordinates.figure(found))["data"][-1]
    assert set(best["customdata"]) == {95, 96, 97, 98, 99, None}
    assert best["x"][: len(SPACE) + 2] == [*range(len(SPACE) + 1), None]


def test_the_pareto_front_is_of_those_that_nobody_beats_at_their_price() -> None:
    trials = [
        run(0, 0.80, parameters=100, seconds=9),
        run(1, 0.79, parameters=200, seconds=1),
        run(2, 0.90, parameters=300, seconds=9),
        run(3, 0.95, parameters=0, seconds=9),
        run(4, 0.90, parameters=250, seconds=10),
        run(5, 0.99, "PRUNED", parameters=1),
    ]
    found = pareto.data(study(trials))
    assert [point.number for point in found.parameters.front] == [0, 4]
    assert {point.number for point in found.parameters.points} == {0, 1, 2, 4}
    assert [point.number for point in found.seconds.front] == [1, 3]
    assert {point.number for point in found.seconds.points} == {0, 1, 2, 3, 4}


def test_the_front_is_drawn_whatever_is_left_out() -> None:
    cheap = [
        run(600 + n, 0.1 + 0.01 * n, parameters=1 + n, seconds=1e-3 * (1 + n)) for n in range(20)
    ]
    dear = [run(n, 0.9 - 1e-4 * n, parameters=1000 + n, seconds=1 + n) for n in range(600)]
    found = pareto.data(study([*dear, *cheap]))
    assert len(found.parameters.front) == len(found.seconds.front) == 21
    for plot, each in zip(pareto.plots(found), (found.parameters, found.seconds), strict=True):
        there, hidden = shown(plot.figure)
        assert hidden
        assert {point.number for point in each.front} <= there
        front = next(t for t in plain(plot.figure)["data"] if t.get("name") == "Pareto front")
        assert "customdata" not in front


def test_the_history_steps_up_with_complete_trials_only() -> None:
    trials = [
        run(0, 0.5),
        run(1, 0.9, "PRUNED"),
        run(2, 0.4),
        run(4, 0.6),
        run(5, state="FAILED"),
        run(7, 0.55, "PRUNED"),
    ]
    found = optimization_history.data(study(trials))
    assert found.best == ((0, 0.5), (4, 0.6), (7, 0.6))
    assert [point.number for point in found.points] == [1, 4, 7, 0, 2]
    losses = optimization_history.data(study(trials, objective="val/loss"))
    assert losses.best == ((0, 0.5), (4, 0.4), (7, 0.4))


def test_the_timeline_has_a_lane_for_whatever_ran_at_once() -> None:
    trials = [
        run(0, [0.5] * 10, started=1000.0, worker="worker 10"),
        run(1, [0.5] * 5, started=1002.0, worker="worker 10"),
        run(2, [0.5] * 2, started=1008.0, worker="worker 10"),
        run(3, [0.5] * 4, "PRUNED", started=1001.0, worker="worker 9"),
        replace(run(4, state="INTERRUPTED"), worker=""),
    ]
    waited = replace(trials[3], started=900.0)  # asked for long before its training began
    found = timeline.data(study([*trials[:3], waited, trials[4]]))
    assert found.lanes == (("worker 9", 0, 1), ("worker 10", 1, 2))
    assert {bar.number: bar.lane for bar in found.bars} == {0: 1, 1: 2, 2: 2, 3: 0}
    assert {bar.number: (bar.start, bar.end) for bar in found.bars}[3] == (1, 5)
    assert found.unit == "seconds"
    assert not found.cuts


def on_nodes(workers: Sequence[str]) -> timeline.Timeline:
    return timeline.data(study([run(i, [0.5], worker=name) for i, name in enumerate(workers)]))


def test_a_nodes_workers_stand_together_in_the_timeline() -> None:
    found = on_nodes(["node-10/1", "node-2/12", "node-2/3", "worker 0", "node-10/4"])
    assert [name for name, *_ in found.lanes] == [
        "node-2/3",
        "node-2/12",
        "node-10/1",
        "node-10/4",
        "worker 0",
    ]
    assert found.nodes == [("node-2", 0, 2), ("node-10", 2, 2), ("", 4, 1)]
    drawn = plain(timeline.figure(found))["layout"]
    assert drawn["yaxis"]["ticktext"] == ["node-2/3", "/12", "node-10/1", "/4", "worker 0"]
    assert [(shade["y0"], shade["y1"]) for shade in drawn["shapes"]] == [(1.5, 3.5)]
    alone = timeline.figure(on_nodes(["worker 0", "worker 1"])).layout
    assert (alone.yaxis.ticktext, alone.shapes) == (("worker 0", "worker 1"), ())


def test_odd_names_of_nodes_have_an_order() -> None:
    found = on_nodes(["m²/0", "7/1", "/2", "x"])
    assert {name for name, *_ in found.lanes} == {"m²/0", "7/1", "/2", "x"}


def test_many_workers_are_told_by_their_nodes() -> None:
    names = [f"node-{i % 3}/{i}" for i in range(96)]
    axis = timeline.figure(on_nodes(names)).layout.yaxis
    assert axis.ticktext == ("node-0", "node-1", "node-2")
    assert axis.tickvals == (15.5, 47.5, 79.5)
    axis = timeline.figure(on_nodes([f"worker {i}" for i in range(96)])).layout.yaxis
    assert axis.ticktext[:2] == ("worker 0", "worker 4")


def test_a_night_between_two_halves_of_a_study_is_cut_out() -> None:
    night = 9 * 3600.0
    trials = [run(0, [0.5] * 300), run(1, [0.5] * 300, started=400 + night)]
    found = timeline.data(study(trials))
    assert found.unit == "minutes"
    first, second = found.bars
    assert (first.start, first.end) == (0, 5)
    assert 5 < second.start < 5.5
    assert second.end - second.start == pytest.approx(5)
    ((when, length),) = found.cuts
    assert first.end < when < second.start
    assert length == night
    assert "9 h 0 min" in timeline.figure(found).layout.xaxis.title.text


# --- promises to the page


def test_every_trial_is_found_in_every_plot(many: StudyRun) -> None:
    states = {made.number: made.state for made in many.trials}
    complete = {number for number, state in states.items() if state == "COMPLETE"}
    trained = complete | {number for number, state in states.items() if state == "PRUNED"}
    expected = {"timeline": set(states), "accuracy-parameters": complete}
    expected["accuracy-seconds"] = complete
    for plot in drawn(many):
        there, hidden = shown(plot.figure)
        if plot.name == "importance":
            continue
        assert there | hidden == expected.get(plot.name, trained), plot.name
        assert not there & hidden
        if plot.name != "timeline":
            assert len(there) <= 420, f"{plot.name} draws too much"
            best = {made.number for made in many.rank_trials()[:5]}
            assert best <= there, plot.name


def test_columns_are_of_one_length(many: StudyRun) -> None:
    for plot in drawn(many):
        found = plain(plot.figure)
        hidden = found["layout"].get("meta", {}).get("hidden", [])
        for part in (*found["data"], *hidden):
            lengths = {len(part[key]) for key in ("x", "y", "customdata", "text") if key in part}
            assert len(lengths) <= 1, plot.name
        for part in hidden:
            assert found["data"][part["trace"]]["type"] == "scatter"
        assert len(found["data"]) <= 8, "few traces"


HOSTILE = "<b onclick=alert(1)>%{x}&"


def test_names_and_values_are_shown_letter_by_letter() -> None:
    space = {HOSTILE: [1], "optimizer": [HOSTILE], "activation": [HOSTILE, "relu"]}
    trials = [
        run(number, 0.5 + 0.01 * number, worker=HOSTILE, dropout=0.01 * number)
        for number in range(20)
    ]
    for plot in drawn(study(trials, space | {"dropout": SPACE["dropout"]})):
        text = json.dumps(plain(plot.figure))
        assert "<b o" not in text, plot.name
        templates = [trace.get("hovertemplate") or "" for trace in plain(plot.figure)["data"]]
        assert "onclick" not in "".join(templates)
    (found,) = slice.data(study([run(0, dropout=0.1)], {"dropout": [0.1]}))
    factor = replace(found.factor, name=HOSTILE, ticks=((0.0, HOSTILE),))
    point = replace(found.points[0], text=HOSTILE)
    (plot,) = slice.plots((replace(found, factor=factor, points=(point,)),))
    assert plot.name == "slice-b-onclick-alert-1-x"
    assert "<b o" not in json.dumps(plain(plot.figure))
    axis, line = (
        parallel_coordinates.Axis(HOSTILE, (HOSTILE,) * 2, ()),
        parallel_coordinates.Line(0, (0.5,), (HOSTILE,)),
    )
    chosen = parallel_coordinates.Axis("", ("", ""), ((0.5, HOSTILE),))
    lines = parallel_coordinates.Parallel((axis, chosen), (line,))
    assert "<b o" not in json.dumps(plain(parallel_coordinates.figure(lines)))
    shares = importance.figure(importance.Importance(((HOSTILE, 1.0),), 1, 10))
    assert "<b o" not in json.dumps(plain(shares))


EMPTY = {
    "no trials": study([]),
    "no space": replace(
        study([run(0), run(1)]), definition={"study": {"objective": "val/accuracy"}}
    ),
    "empty space": study([run(0), run(1, 0.8)], {}),
    "one trial": study([run(0)]),
    "none complete": study([run(0, 0.5, "PRUNED"), run(1, 0.6, "PRUNED")]),
    "all failed": study([run(0, state="FAILED"), run(1, state="FAILED")]),
    "all running": study([replace(run(0, state="RUNNING"), ended=None)]),
    "by loss": study([run(0), run(1, 0.8), run(2, 0.7, "PRUNED")], objective="val/loss"),
    "no epochs": study([replace(run(0), epochs=(), best=None, confusion=())]),
}


@pytest.mark.parametrize("made", EMPTY.values(), ids=EMPTY.keys())
def test_little_is_no_error(made: StudyRun) -> None:
    for plot in drawn(made):
        plain(plot.figure)
    ranked = made.rank_trials()
    if ranked and ranked[0].best:
        recommendations.data(made, ranked[0], None)


# --- advice


def titles(made: StudyRun) -> list[str]:
    return [each.title for each in recommendations.data(made, made.rank_trials()[0], None)]


def wide(number: int, accuracy: float | list[float] = 0.9, **more: Any) -> RunRecord:
    """A trial in the middle of every range."""
    return run(number, accuracy, **({"learning_rate": 3e-3, "dropout": 0.25, "l2": 1e-4} | more))


def test_no_evidence_no_advice() -> None:
    assert titles(study([wide(0, 0.999), wide(1, 0.8)])) == []


def test_a_champion_at_an_edge_widens_the_range() -> None:
    champion = wide(0, 0.999, learning_rate=0.09)
    others = [wide(1), wide(2)]
    assert recommendations.data(study([champion, others[0]]), champion, None) == (), (
        "two show nothing"
    )
    (found,) = recommendations.data(study([champion, *others]), champion, None)
    assert found.title == "Widen the range of learning_rate"
    assert "1 of the best 3" in found.why
    made = loader.load("quickstart", list(overrides(found.command)))
    assert made.study.name == "quickstart-wider"
    wider: Any = made.space.dimensions["learning_rate"]
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
def test_a_range_is_widened_where_there_is_anything_beyond(
    setting: str, value: Any, expected: dict[str, float] | None
) -> None:
    made = study([wide(0, **{setting: value})])
    found = {}
    for factor in parameter_axes.factors(made):
        table = SPACE[factor.name]
        wider = edges.widened(factor, table, 0)
        if wider:
            found |= {key: wider[key] for key in wider if wider[key] != table[key]}
    assert found == (expected or {})


def test_trials_that_fail_beyond_a_value_lower_the_top() -> None:
    rates = {0: 1e-3, 1: 2e-3, 2: 3e-3}
    good = [wide(number, 0.9, learning_rate=rate) for number, rate in rates.items()]
    bad = [run(3 + n, state="FAILED", learning_rate=0.01 * (1 + n)) for n in range(4)]
    (found,) = [
        each
        for each in recommendations.data(study([*good, *bad]), good[0], None)
        if each.title.startswith("Lower")
    ]
    assert found.title == "Lower the top of learning_rate"
    assert "4 of 7 trials failed, 4 of them with a learning_rate above 0.003" in found.why
    made = loader.load("quickstart", list(overrides(found.command)))
    dimension = made.space.dimensions["learning_rate"]
    assert isinstance(dimension, Range)
    assert dimension.high == 0.003
    mixed = [replace(each, spec=good[0].spec) for each in bad]
    assert not [
        each
        for each in recommendations.data(study([*good, *mixed]), good[0], None)
        if each.title.startswith("Lower")
    ]


def test_a_curve_that_still_rises_asks_for_more_epochs() -> None:
    rising = wide(0, [0.99 + 0.0009 * index for index in range(10)])
    (found,) = recommendations.data(study([rising]), rising, None)
    assert found.title == "Train longer"
    assert "epoch is 10 of 10" in found.why
    assert loader.load("quickstart", list(overrides(found.command))).train["epochs"] == 20
    flat = wide(0, [0.9981, *[0.9982] * 8, 0.9983])
    assert titles(study([flat])) == [], "the best epoch is the last, by next to nothing"
    early = wide(0, [0.99, 0.999, *[0.99] * 8])
    assert titles(study([early])) == []
    assert titles(study([rising], SPACE | {"epochs": [10]})) == []


def test_overfitting_asks_for_what_is_not_sampled_yet() -> None:
    overfitted = wide(0, 0.95, train=0.04, dropout=0.0, l2=0.0)
    space = {"dropout": SPACE["dropout"]}
    (found,) = [
        each
        for each in recommendations.data(study([overfitted], space), overfitted, None)
        if "sample" in each.title
    ]
    assert found.title == "Regularise: sample l2 and label_smoothing"
    assert "99.0 %" in found.why
    made = loader.load("quickstart", list(overrides(found.command)))
    assert "label_smoothing" in made.space.dimensions
    assert titles(study([wide(0, 0.998, train=0.002)], space)) == []
    with_dropout = wide(0, 0.95, train=0.04, l2=0.0)
    assert "Regularise: sample l2 and label_smoothing" in titles(study([with_dropout], {}))


def test_a_smaller_trial_that_tests_as_good_is_named() -> None:
    champion, other = wide(0, 0.998, parameters=4100), wide(2, 0.996, parameters=1000)
    ties = TiedTrials(champion, (champion, other), (5, 6, 7, 8), 1000, {2: 0.625})
    (found,) = recommendations.data(study([champion, other]), champion, ties)
    assert found.title == "Consider trial 2: 4.1 times fewer parameters"
    assert (
        "On the same 1,000 examples no difference shows (McNemar p = 0.62, adjusted by Holm for 5 "
        "trials)" in found.why
    )
    half = replace(other, parameters=2050)
    ties = replace(ties, members=(champion, half))
    assert recommendations.data(study([champion, half]), champion, ties) == (), (
        "hardly worth the change"
    )
    assert titles(study([champion, other])) == [], "without the test nothing is said"


@pytest.mark.parametrize(
    ("best_at", "title"),
    [(3, "Change the space"), (25, None), (38, "Go on")],
)
def test_how_the_search_went(best_at: int, title: str | None) -> None:
    trials = [wide(number, 0.999 if number == best_at else 0.9) for number in range(40)]
    found = [
        each
        for each in recommendations.data(study(trials), trials[best_at], None)
        if each.title[0] in "CG"
    ]
    assert [each.title.startswith(title or "") for each in found] == [True] * bool(title)
    if title == "Go on":
        assert found[0].command == "harness run-study quickstart --trials 80"
        typed = "harness run-study my.toml --trials=40 --seed=3 --set train.epochs=2"
        recorded = replace(study(trials), facts={"command": typed})
        commands = [each.command for each in recommendations.data(recorded, trials[best_at], None)]
        assert commands == ["harness run-study my.toml --seed=3 --set train.epochs=2 --trials 80"]


def test_a_choice_that_all_the_best_share_is_fixed() -> None:
    trials = [
        wide(number, 0.999 - 0.001 * number, batch_norm="before" if number < 12 else "none")
        for number in range(30)
    ]
    found = [
        each
        for each in recommendations.data(study(trials), trials[0], None)
        if each.title.startswith("Fix")
    ]
    assert [each.title for each in found] == ["Fix batch_norm = before"]
    made = loader.load("quickstart", list(overrides(found[0].command)))
    assert made.train["batch_norm"] == "before"
    assert "batch_norm" not in made.space.dimensions
    alike = [replace(each, spec=replace(each.spec, batch_norm="before")) for each in trials]
    assert not [title for title in titles(study(alike)) if title.startswith("Fix")]


def test_the_pair_that_is_confused_most_is_named() -> None:
    champion = replace(wide(0), confusion=((88, 12), (2, 98)))
    (found,) = recommendations.data(study([champion]), champion, None)
    assert found.why.startswith(
        "Shirt is taken for Coat in 12.0 % of its validation images (12 of 100; 95 %: 7.0 to "
        "19.8 %)"
    )
    rare = replace(champion, confusion=((98, 2), (2, 98)))
    assert recommendations.data(study([rare]), rare, None) == ()


def test_advice_is_short(many: StudyRun) -> None:
    champion = many.rank_trials()[0]
    found = recommendations.data(many, champion, None)
    assert 1 <= len(found) <= recommendations.MOST
    for each in found:
        loader.load("quickstart", list(overrides(each.command)))
