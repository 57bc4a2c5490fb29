"""How figures are quoted: with their intervals, in few words, and in JSON."""

from __future__ import annotations

import json

import pytest

from harness.analysis.formatting import in_json, interval, listed, ranked_classes
from harness.metrics import Score
from harness.stats.proportions import wilson, wilson_mean
from harness.tracking.types import Matrix, TestReading

CLASSES = ("Bag", "Shirt", "Hat", "Coat")
CONFUSION = ((95, 5, 0, 0), (20, 70, 0, 10), (0, 0, 0, 0), (1, 2, 0, 17))
"""No hat was ever seen."""


def reading(confusion: Matrix) -> TestReading:
    rows = tuple(map(tuple, confusion))
    return TestReading(selection="", number=0, time=0.0, loss=0.0, confusion=rows)


def test_the_hardest_class_and_the_mean_have_their_intervals() -> None:
    low, high = wilson(70, 100)
    least, most = wilson_mean([(95, 100), (70, 100), (17, 20)])
    assert ranked_classes(CLASSES, CONFUSION) == (
        f"Shirt 70.0 % (hardest, 95 %: {100 * low:.1f} to {100 * high:.1f} %), Coat 85.0 %, "
        f"Bag 95.0 %; on average 83.3 % (95 %: {100 * least:.1f} to {100 * most:.1f} %)"
    )
    assert ranked_classes(("Hat",), ((0,),)) == "none was counted"


def test_json_has_every_class_with_its_interval() -> None:
    found = json.loads(json.dumps(in_json(Score(), CLASSES, reading(CONFUSION)), allow_nan=False))
    assert found["accuracy"] == pytest.approx(182 / 220)
    assert found["interval"] == pytest.approx(list(wilson(182, 220)))
    assert found["class_accuracy"] == {"Bag": 0.95, "Shirt": 0.7, "Hat": None, "Coat": 0.85}
    assert found["class_intervals"]["Hat"] is None
    assert found["class_intervals"]["Bag"] == pytest.approx(list(wilson(95, 100)))
    empty = in_json(Score(), ("Hat",), reading(((0,),)))
    assert empty["accuracy"] is empty["interval"] is None


def test_an_interval_of_nothing_is_not_told() -> None:
    assert interval(((9, 1), (0, 10))) == " (95 %: 0.7639 to 0.9911)"
    assert interval(()) == interval(((0, 0), (0, 0))) == ""


def test_long_lists_are_cut() -> None:
    assert listed([]) == ""
    assert listed(range(8)) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert listed(range(20), most=3) == "0, 1, 2 and 17 more"
