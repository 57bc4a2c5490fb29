"""The arithmetic of the benchmark of tables: splits, scores, ranks, resuming. No rivals needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, r2_score, roc_auc_score, root_mean_squared_error

from tests.benchmarks.tables import results, trees
from tests.benchmarks.tables.columns import prepare_for_networks, prepare_for_trees
from tests.benchmarks.tables.page import format_ranking, format_scores
from tests.benchmarks.tables.ranking import (
    find_critical_difference,
    rank_methods,
    summarize_ranks,
)
from tests.benchmarks.tables.results import Result
from tests.benchmarks.tables.scores import score_classes, score_numbers
from tests.benchmarks.tables.sources import TABLES, Table
from tests.benchmarks.tables.splits import make_task, split_inner
from tests.benchmarks.tables.summary import AUC, PRIMARY, compare


def make_result(table: str, split: int, method: str, error: float, digest: str = "d") -> Result:
    scores = {"error": error, "log_loss": 2 * error, "auc": 1 - error}
    return Result(table, split, method, scores, 2.0, 1.0, 0.5, 1, (80, 20), 3, digest, {})


def make_table(rows: int = 100) -> Table:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    frame = pd.DataFrame(
        {
            "x": np.where(rng.random(rows) < 0.1, np.nan, x),
            "colour": rng.choice(["red", "blue"], rows),
            "y": np.where(x + rng.normal(size=rows) > 0, "yes", "no"),
        }
    )
    return Table("made", "made", "y", lambda: frame)


def test_equal_scores_share_ranks_and_shares_of_tables_won() -> None:
    values = {
        "first": {"a": 0.1, "b": 0.1, "c": 0.3},
        "second": {"a": 0.2, "b": 0.4, "c": 0.3},
    }
    ranks = rank_methods(values, ["a", "b", "c"])
    assert ranks.tolist() == [[1.5, 1.5, 3], [1, 3, 2]]
    assert rank_methods(values, ["a", "b", "c"], lowest_first=False)[1].tolist() == [3, 1, 2]
    standings = summarize_ranks(ranks, ["a", "b", "c"])
    assert [s.method for s in standings] == ["a", "b", "c"]
    assert [s.mean_rank for s in standings] == [1.25, 2.25, 2.5]
    assert [s.won for s in standings] == [0.75, 0.25, 0]
    assert standings[0].low == 1
    assert standings[0].high == 1.5


def test_the_critical_difference_is_that_of_demsar() -> None:
    # Demšar 2006, table 5: q of 5 % is 2.728 for 5 methods.
    assert find_critical_difference(5, 30) == pytest.approx(2.728 * np.sqrt(30 / 180), abs=1e-3)


def test_methods_are_compared_on_the_splits_that_they_share() -> None:
    lines = [
        make_result(table, split, method, error + 0.01 * split)
        for table in ("one", "two")
        for split in range(2)
        for method, error in (("a", 0.1), ("b", 0.2), ("c", 0.05))
        if method != "c" or split == 0
    ]
    both, first = compare(lines, ["a", "b", "c", "absent"], splits=2)
    assert (both.methods, both.splits) == (("a", "b"), (0, 1))
    assert (first.methods, first.splits) == (("a", "b", "c"), (0,))
    assert both.average(PRIMARY)["one"] == pytest.approx({"a": 0.105, "b": 0.205})
    assert both.rank_splits(PRIMARY).tolist() == [[1, 2]] * 4
    assert first.rank(AUC).tolist() == [[2, 3, 1]] * 2
    assert format_ranking(first).splitlines()[4].startswith("| c | **1.00** (1.00 to 1.00) | 100 %")
    names = {"a": "LightGBM", "b": "XGBoost", "c": "TabM-D"}
    named = [replace(line, method=names[line.method]) for line in lines]
    assert "| one | **10.5** ± 0.7 | 20.5 ± 0.7 | 5.0 (n = 1) |" in format_scores(named)
    complete = [line for line in lines if line.method != "c"]
    assert len(compare(complete, ["a", "b", "c"], splits=2)) == 1


def test_a_table_that_not_all_methods_have_does_not_count_for_all() -> None:
    lines = [make_result(table, 0, method, 0.1) for table in ("one", "two") for method in "abc"]
    whole, shared = compare(lines[:-1], ["a", "b", "c"], splits=1)
    assert (whole.methods, whole.tables) == (("a", "b"), ("one", "two"))
    assert (shared.methods, shared.tables) == (("a", "b", "c"), ("one",))


def test_results_are_appended_and_a_line_that_was_cut_off_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    results.append(path, {"environment": {"group": "rivals"}})
    results.append(path, vars(make_result("one", 0, "a", 0.1)))
    results.append(path, vars(make_result("one", 0, "a", 0.2)))
    with path.open("a") as stream:
        stream.write(json.dumps(vars(make_result("one", 1, "a", 0.1)))[:40])
    assert results.read(path) == [make_result("one", 0, "a", 0.2)]
    results.write_csv(results.read(path), tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text().splitlines() == [
        "table,split,method,error,log_loss,auc,rmse,mae,r2,nrmse,cpu_seconds,wall_seconds,load",
        "one,0,a,0.2,0.4,0.8,,,,,1.0,2.0,0.5",
    ]
    assert results.read_environments(path) == [{"group": "rivals"}]


def test_methods_with_different_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    results.append(path, vars(make_result("one", 0, "a", 0.1)))
    results.append(path, vars(make_result("one", 0, "b", 0.1, digest="other")))
    with pytest.raises(ValueError, match="one, split 0: b and a had different rows"):
        results.read(path)


def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(60) % 3
    values = rng.dirichlet(np.ones(3), 60)
    scores = score_classes(y, values)
    assert scores["log_loss"] == pytest.approx(log_loss(y, values))
    assert scores["auc"] == pytest.approx(roc_auc_score(y, values, multi_class="ovr"))
    certain = score_classes(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert certain["error"] == 0.5
    assert np.isfinite(certain["log_loss"])
    truth = rng.normal(size=50)
    guess = truth + rng.normal(size=50)
    numbers = score_numbers(truth, guess, deviation=2.0)
    assert numbers["nrmse"] == pytest.approx(root_mean_squared_error(truth, guess) / 2)
    assert numbers["r2"] == pytest.approx(r2_score(truth, guess))


def test_splits_are_repeatable_disjoint_and_stratified() -> None:
    table = make_table()
    task, again, other = make_task(table, 0), make_task(table, 0), make_task(table, 1)
    assert task.digest == again.digest != other.digest
    assert task.train.equals(again.train)
    assert (len(task.train), len(task.test)) == (80, 20)
    assert not set(task.train["x"].dropna()) & set(task.test["x"].dropna())
    assert abs(task.y_train.mean() - task.y_test.mean()) < 0.05
    fit, validation = split_inner(task.y_train, False, 0)
    assert sorted([*fit, *validation]) == [*range(80)]


def test_rivals_learn_levels_and_medians_from_the_outer_training_part() -> None:
    task = make_task(make_table(), 0)
    task.test.loc[0, ["x", "colour"]] = [1e9, "green"]
    train, test = prepare_for_trees(task)
    assert [*train["colour"].cat.categories] == ["blue", "red"]
    assert pd.isna(test["colour"][0])
    filled, filled_test, texts = prepare_for_networks(task)
    assert texts == ["colour"]
    assert filled_test["colour"][0] == "missing"
    gaps = filled["x is missing"] == 1
    assert set(filled["x"][gaps]) == {task.train["x"].median()}
    assert not filled_test.isna().to_numpy().any()


def test_tuned_trees_predict_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "TRIALS", 2)
    monkeypatch.setattr(trees, "MOST_TREES", 10)
    task = make_task(make_table(), 0)
    prediction = trees.fit_tuned(task, trees.LIBRARIES["histogram boosting"])
    assert prediction.values.shape == (20, 2)
    assert prediction.values.sum(axis=1) == pytest.approx(1)
    assert 0 <= prediction.settings["trees"] <= 10


def test_tables_have_different_names_and_sources() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES) >= 12
    assert len({table.source for table in TABLES}) == len(TABLES)
