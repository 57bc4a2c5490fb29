"""The summary's fact about the ensemble: its gain over the champion, and its cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.analysis.ensemble_record import LARGE_BATCH, Cost, EnsembleRecord, EnsembleScores
from harness.analysis.fact import Fact
from harness.analysis.formatting import format_count
from harness.metrics import OBJECTIVE_NAMES, Score

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

SHOWN_MEMBERS = 8


def build_ensemble_fact(summary: Summary) -> Fact:
    """Return the ensemble's results; empty without one."""
    record, score = summary.ensemble, summary.study.score.tested
    if record is None:
        return Fact("ensemble", value=None)
    result = describe_result(record, score, summary.study.test_name)
    lines = [
        result,
        describe_choice(record, score),
        describe_cost(record),
        f"not exported ({record.problem})" if record.problem else summary.ensemble_uri,
    ]
    short = f"{describe_members(record)}: {result}"
    if [member.uid for member in record.members] != [record.champion]:
        short += f"; {_describe_cost_briefly(record)}"
    return Fact("ensemble", "ensemble", "\n".join(lines), short, _to_dict(summary, record))


def describe_result(record: EnsembleRecord, score: Score, test_name: str) -> str:
    """`test accuracy 0.9750; the champion's 0.9639 is not significantly lower (McNemar ...)`.

    Before the test set is read: the result on the half of the validation set that did not choose
    the members.
    """
    if record.tested is not None:
        return f"{test_name} {_compare(record.tested, score)}"
    judged = _compare(record.judged, score)
    return f"{judged} on the half of the validation set that did not choose the members"


def describe_choice(record: EnsembleRecord, score: Score) -> str:
    """Return how the members were chosen, and the scores on the other half."""
    by = OBJECTIVE_NAMES.get(record.objective, record.objective)  # type: ignore[call-overload]
    return (
        f"{describe_members(record, named=True)}, chosen from "
        f"{format_count(record.candidates, 'candidate')} by {by} on one half of the validation set "
        f"({format_count(record.chosen.examples, 'example')}); on the other half "
        f"({record.judged.examples:,}): {_compare(record.judged, score)}"
    )


def describe_cost(record: EnsembleRecord) -> str:
    """Return parameters and milliseconds, and how many times those of the champion they are."""
    mine, other = record.cost, record.champion_cost
    return (
        f"{mine.parameters:,} parameters ({_times(mine.parameters, other.parameters)} the "
        f"champion's); {_format_time(mine.milliseconds)} an example alone "
        f"({_times(mine.milliseconds, other.milliseconds)}), "
        f"{_format_time(mine.milliseconds_in_batch)} in batches of {LARGE_BATCH} "
        f"({_times(mine.milliseconds_in_batch, other.milliseconds_in_batch)}), on one CPU core"
    )


def describe_members(record: EnsembleRecord, named: bool = False) -> str:
    """`3 trials`, or `trials 4 (50 %), 7 (25 %) and 9 (25 %)`."""
    if len(record.members) == 1:
        return f"trial {record.members[0].number} alone"
    if not named:
        return format_count(len(record.members), "trial")
    shown = [f"{each.number} ({each.weight:.0%})" for each in record.members[:SHOWN_MEMBERS]]
    more = len(record.members) - SHOWN_MEMBERS
    return f"trials {', '.join(shown)}" + (f" and {more} more" if more > 0 else "")


def _compare(scores: EnsembleScores, score: Score) -> str:
    """`accuracy 0.9750; the champion's 0.9639 is not significantly lower (McNemar p = 0.22)`."""
    text = f"{score.name} {score.format_value(scores.score)}"
    rival = scores.champion_score
    if rival is None:
        return text
    champion = score.format_value(rival)
    if rival == scores.score:
        return f"{text}, the same as the champion's"
    text += f"; the champion's {champion} is "
    direction = "lower" if rival < scores.score else "higher"
    if scores.test is None:
        return f"{text}{direction}"
    negation = "" if scores.test.is_significant else "not "
    p_value = f"{scores.test.test_name} p = {scores.test.p_value:.2g}"
    return f"{text}{negation}significantly {direction} ({p_value})"


def _describe_cost_briefly(record: EnsembleRecord) -> str:
    mine, other = record.cost, record.champion_cost
    return (
        f"it has {_times(mine.parameters, other.parameters)} the champion's parameters and takes "
        f"{_times(mine.milliseconds, other.milliseconds)} as long"
    )


def _times(value: float, reference: float) -> str:
    """`2.4 times`."""
    return f"{value / reference:.1f} times" if reference else "many times"


def _format_time(milliseconds: float) -> str:
    return f"{milliseconds:.2g} ms"


def _to_dict(summary: Summary, record: EnsembleRecord) -> dict[str, Any]:
    return {
        "members": [{"trial": each.number, "weight": each.weight} for each in record.members],
        "candidates": record.candidates,
        "objective": record.objective,
        "chosen": _scores_to_dict(record.chosen),
        "judged": _scores_to_dict(record.judged),
        "test": _scores_to_dict(record.tested) if record.tested else None,
        "cost": _cost_to_dict(record.cost),
        "champion_cost": _cost_to_dict(record.champion_cost),
        "model": None if record.problem else summary.ensemble_uri,
    }


def _scores_to_dict(scores: EnsembleScores) -> dict[str, Any]:
    values = asdict(scores)
    test = values.pop("test")
    return values | {
        "p_value": test and scores.test and scores.test.p_value,
        "significant": test and scores.test and scores.test.is_significant,
    }


def _cost_to_dict(cost: Cost) -> dict[str, Any]:
    return asdict(cost)
