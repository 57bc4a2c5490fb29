"""The hash of a frozen selection: equal for the same choice, in every version of harness."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import HarnessError
from harness.test_set.selection import (
    RULE,
    RULE_CONFIRMED,
    RULE_GRID_OR_LIST,
    freeze_selection,
    hash_selection,
    list_unread_runs,
)
from tests.support import synthetic_study


@pytest.mark.parametrize(
    ("rule", "digest"),
    [
        (RULE, "8986457e57228f7c"),
        (RULE_CONFIRMED, "dcec5a0d6a981205"),
        (RULE_GRID_OR_LIST, "0aba18dd624551cc"),
    ],
)
def test_the_hash_of_a_recorded_selection_never_changes(rule: str, digest: str) -> None:
    """Other words in a rule would make a continued study open its test set again."""
    document = {"champion": "u/1", "rule": rule, "candidates": ["u/0", "u/1"]}
    assert hash_selection(document)[:16] == digest


def test_confirmation_runs_are_part_of_the_hash() -> None:
    document = {"champion": "u/1", "rule": RULE, "candidates": ["u/1"]}
    confirmed = document | {"model": "u/confirm/0", "confirming": ["u/confirm/0"]}
    assert hash_selection(confirmed) != hash_selection(document)
    with pytest.raises(KeyError):
        hash_selection({"rule": RULE})


def test_only_the_champion_of_a_search_is_read_and_only_once() -> None:
    study = replace(synthetic_study.make_study(20, epochs=2), readings=())
    selection = freeze_selection(study)
    assert selection.champion == study.rank_trials()[0]
    assert selection.rule == "best val/accuracy of a complete trial, the earlier of equals"
    assert list_unread_runs(study, selection) == [selection.champion]
    read = synthetic_study.make_study(20, epochs=2)
    assert list_unread_runs(read, freeze_selection(read)) == []
    with pytest.raises(HarnessError, match=r"no trial is complete, .*--trials"):
        freeze_selection(replace(study, trials=()))
