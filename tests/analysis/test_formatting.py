"""Formatting of scores: with intervals, shortened, and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.analysis.formatting import (
    find_hardest_class,
    format_accuracy_interval,
    format_class_accuracies,
    join_numbers,
    score_to_dict,
)
from harness.metrics import Score
from harness.results import ConfusionMatrix
from harness.stats.proportions import (
    compute_interval,
    compute_mean_interval,
    compute_simultaneous_interval,
)
from harness.tracking.test_reading import TestReading

CLASSES = ("Bag", "Shirt", "Hat", "Coat")
CONFUSION = ((95, 5, 0, 0), (20, 70, 0, 10), (0, 0, 0, 0), (1, 2, 0, 17))
"""There is no example of a hat."""


def reading(confusion: ConfusionMatrix) -> TestReading:
    rows = tuple(map(tuple, confusion))
    return TestReading(selection="", number=0, time=0.0, loss=0.0, confusion=rows)


def test_the_hardest_class_and_the_mean_have_intervals() -> None:
    low, high = compute_simultaneous_interval(70, 100, 3)
    least, most = compute_mean_interval([(95, 100), (70, 100), (17, 20)])
    assert format_class_accuracies(CLASSES, CONFUSION) == (
        f"Shirt 70.0 % (hardest, 95 %: {100 * low:.1f} to {100 * high:.1f} %), Coat 85.0 %, "
        f"Bag 95.0 %; on average 83.3 % (95 %: {100 * least:.1f} to {100 * most:.1f} %)"
    )
    assert format_class_accuracies(("Hat",), ((0,),)) == "no examples"


def test_no_class_is_hardest_where_the_lowest_is_so_by_chance() -> None:
    """Of ten classes with 36 examples each, one with 3 errors of all 7 is no surprise."""
    errors = [3, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    confusion = [
        [36 - wrong if true == predicted else wrong * (predicted == (true + 1) % 10)
         for predicted in range(10)]
        for true, wrong in enumerate(errors)
    ]  # fmt: skip
    names = tuple("abcdefghij")
    hardest = find_hardest_class(names, confusion)
    assert hardest is not None
    assert (hardest.name, hardest.is_clear) == ("a", False)
    assert hardest.describe() == "a, 91.7 % (95 %: 70.9 to 99.2 %)"
    quoted = replace(hardest, name="No").describe()
    assert quoted.startswith("'No', 91.7 %"), "no answer, but a class"
    assert format_class_accuracies(names, confusion).startswith(
        "a 91.7 % (95 %: 70.9 to 99.2 %; no class is clearly hardest), b 97.2 %, "
    )
    confusion[0] = [18, 18, *[0] * 8]
    clear = find_hardest_class(names, confusion)
    assert clear is not None
    assert clear.is_clear
    assert json.loads(json.dumps(clear.to_dict()))["hardest_class"] == "a"
    alone = find_hardest_class(("a",), ((9,),))
    assert alone is not None
    assert not alone.is_clear, "nothing to compare it with"


def test_json_has_every_class_with_its_interval() -> None:
    document = json.loads(
        json.dumps(score_to_dict(Score(), CLASSES, reading(CONFUSION)), allow_nan=False)
    )
    assert document["accuracy"] == pytest.approx(182 / 220)
    assert document["interval"] == pytest.approx(list(compute_interval(182, 220)))
    assert document["class_accuracy"] == {"Bag": 0.95, "Shirt": 0.7, "Hat": None, "Coat": 0.85}
    assert document["class_intervals"]["Hat"] is None
    assert document["class_intervals"]["Bag"] == pytest.approx(list(compute_interval(95, 100)))
    empty = score_to_dict(Score(), ("Hat",), reading(((0,),)))
    assert empty["accuracy"] is empty["interval"] is None


def test_without_examples_there_is_no_interval() -> None:
    assert format_accuracy_interval(((9, 1), (0, 10))) == " (95 %: 0.7639 to 0.9911)"
    assert format_accuracy_interval(()) == format_accuracy_interval(((0, 0), (0, 0))) == ""


def test_long_lists_are_cut() -> None:
    assert join_numbers([]) == ""
    assert join_numbers(range(8)) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert join_numbers(range(20), limit=3) == "0, 1, 2 and 17 more"
