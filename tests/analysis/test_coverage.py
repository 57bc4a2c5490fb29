"""What small studies report, against their truth: a small run of `tests/benchmarks/coverage.py`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest

from tests.benchmarks.coverage import measure_study
from tests.benchmarks.coverage_table import format_coverage, format_table

STUDIES, FRESH = 8, 3


def compute_mean_errors(rows: Sequence[Sequence[float]]) -> float:
    """Return by how much the first of each row is above the last, on average."""
    return statistics.fmean(row[0] - row[-1] for row in rows)


@pytest.mark.slow
def test_the_corrected_score_of_made_studies_is_near_their_truth() -> None:
    """The plain mean of these studies is 3 points too high; the corrected score is not."""
    studies = [measure_study("made", seed, fresh=FRESH) for seed in range(STUDIES)]
    corrected = compute_mean_errors([study["corrected"] for study in studies])
    plain = compute_mean_errors([study["plain"] for study in studies])
    assert plain > 0.015
    assert abs(corrected) < plain / 2
    covered = [low <= true <= high for _, low, high, true in (s["corrected"] for s in studies)]
    assert sum(covered) >= 6
    pairs = [pair for study in studies for pair in study["contenders"]]
    assert sum(low <= true <= high for _, low, high, true in pairs) >= 0.85 * len(pairs)
    assert sum(low <= true <= high for _, low, high, true in (s["test"] for s in studies)) >= 6
    quoted = statistics.fmean(s["best"]["reported"] - s["corrected"][0] for s in studies)
    true = statistics.fmean(s["best"]["reported"] - s["best"]["model"] for s in studies)
    assert 0.6 < quoted / true < 1.6
    assert f"| studies | {STUDIES} |" in format_table(studies)


def test_a_coverage_has_the_standard_error_of_independent_studies() -> None:
    inside, outside = (0.5, 0.4, 0.6, 0.5), (0.5, 0.4, 0.6, 0.7)
    assert format_coverage([[inside]] * 96 + [[outside]] * 4) == "96.0 % ± 2.0 of 100"
    assert format_coverage([[inside] * 2] * 96 + [[outside] * 2] * 4) == "96.0 % ± 2.0 of 200"
    assert format_coverage([]) == "–"
