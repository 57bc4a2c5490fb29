"""The table of `coverage.py`: what small studies report, beside their truth, in Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
"""One study, as `measure_study` returns it."""
GROUPS = {
    "made classes": ("made",),
    "MNIST, FashionMNIST": ("mnist", "fashion-mnist"),
    "made regression": ("regression",),
}
"""The columns, and the kinds of studies in each."""
NONE = "–"


def format_table(rows: Sequence[Row]) -> str:
    """Return the table of all groups that have studies; an error has its standard error."""
    groups = {name: [row for row in rows if row["kind"] in kinds] for name, kinds in GROUPS.items()}
    groups = {name: group for name, group in groups.items() if group}
    lines = [["", *groups], ["---"] * (len(groups) + 1)]
    lines += [
        [label, *(describe(group) for group in groups.values())] for label, describe in FIGURES
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _is_regression(group: Sequence[Row]) -> bool:
    return group[0]["kind"] == "regression"


def _scale(group: Sequence[Row], difference: float, true: float) -> float:
    """Return a difference in points of accuracy, or in percent of the true RMSE."""
    return 100 * difference / (true if _is_regression(group) else 1.0)


def _list_errors(group: Sequence[Row], name: str) -> list[float]:
    """Return by how much each value is too good."""
    sign = -1 if _is_regression(group) else 1
    return [
        sign * _scale(group, row[name][0] - row[name][-1], row[name][-1])
        for row in group
        if name in row
    ]


def _list_bias(group: Sequence[Row], reference: str) -> list[float]:
    """Return by how much the search's best score is above `corrected`, `model` or `setting`."""
    sign, biases = -1 if _is_regression(group) else 1, []
    for row in group:
        best = row["best"]
        value = row["corrected"][0] if reference == "corrected" else best[reference]
        biases.append(sign * _scale(group, best["reported"] - value, best["model"]))
    return biases


def format_mean(values: Sequence[float], unit: str = "", sign: str = "+") -> str:
    """`+0.13 ± 0.15 points`: the mean and its standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):{sign}.2f} ± {error:.2f}{unit}"


def format_coverage(rows: Sequence[Sequence[Sequence[float]]]) -> str:
    """`96.2 % ± 1.2 of 240`, for the intervals [value, low, high, truth] of each study.

    The standard error is that of the studies' means, because a study's intervals depend on
    each other.
    """
    if not rows:
        return NONE
    hits = [[low <= true <= high for _, low, high, true in row] for row in rows]
    total, covered = sum(map(len, hits)), sum(map(sum, hits))
    share = covered / total
    squares = sum((sum(row) - share * len(row)) ** 2 for row in hits)
    return f"{100 * share:.1f} % ± {100 * math.sqrt(squares) / total:.1f} of {total}"


def _cover(name: str) -> Callable[[Sequence[Row]], str]:
    def describe(group: Sequence[Row]) -> str:
        return format_coverage([[row[name]] for row in group if len(row.get(name, ())) == 4])

    return describe


def _unit(group: Sequence[Row]) -> str:
    return " %" if _is_regression(group) else " points"


def _describe_error(name: str) -> Callable[[Sequence[Row]], str]:
    return lambda group: format_mean(_list_errors(group, name), _unit(group))


def _describe_width(group: Sequence[Row]) -> str:
    widths = [
        _scale(group, high - low, true)
        for _, low, high, true in (row["corrected"] for row in group)
    ]
    return f"{statistics.median(widths):.1f}{_unit(group)}"


def _describe_bias(reference: str) -> Callable[[Sequence[Row]], str]:
    return lambda group: format_mean(_list_bias(group, reference), _unit(group), "")


def _describe_ratio(reference: str) -> Callable[[Sequence[Row]], str]:
    def describe(group: Sequence[Row]) -> str:
        quoted, true = _list_bias(group, "corrected"), _list_bias(group, reference)
        mean = statistics.fmean(true)
        ratio = statistics.fmean(quoted) / mean
        rests = [q - ratio * t for q, t in zip(quoted, true, strict=True)]
        error = math.sqrt(sum(rest**2 for rest in rests)) / len(rests) / abs(mean)
        return f"{ratio:.2f} ± {error:.2f}"

    return describe


def _cover_contenders(group: Sequence[Row]) -> str:
    return format_coverage([row["contenders"] for row in group if row.get("contenders")])


def _describe_contender_error(group: Sequence[Row]) -> str:
    errors = [
        statistics.fmean(
            _scale(group, lead - true, row["corrected"][-1]) for lead, _, _, true in pairs
        )
        for row in group
        if (pairs := row.get("contenders"))
    ]
    return format_mean(errors, _unit(group))


def _list_probabilities(group: Sequence[Row]) -> list[list[tuple[float, bool]]]:
    """Return (probability, is the best) of each setting by study, the champion first."""
    return [row["best_probability"] for row in group if row.get("best_probability")]


def _describe_calibration(group: Sequence[Row]) -> str:
    first = [row[0] for row in _list_probabilities(group)]
    mean = statistics.fmean(p for p, _ in first)
    share = statistics.fmean(hit for _, hit in first)
    error = math.sqrt(share * (1 - share) / len(first))
    return f"{100 * mean:.1f} %, {100 * share:.1f} % ± {100 * error:.1f} of {len(first)}"


def _describe_bands(group: Sequence[Row]) -> str:
    """Return the share of the truly best among settings by their probability."""
    pairs = [each for row in _list_probabilities(group) for each in row]
    texts = []
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        hits = [hit for p, hit in pairs if low <= p < high]
        if hits:
            texts.append(f"{100 * statistics.fmean(hits):.0f} % of {len(hits)}")
    return ", ".join(texts)


def _describe_brier(group: Sequence[Row]) -> str:
    rows = _list_probabilities(group)
    scores = [statistics.fmean((p - hit) ** 2 for p, hit in row) for row in rows]
    even = [statistics.fmean((1 / len(row) - hit) ** 2 for _, hit in row) for row in rows]
    return f"{statistics.fmean(scores):.3f}, {statistics.fmean(even):.3f}"


def _describe_smaller(group: Sequence[Row]) -> str:
    texts = []
    for margin in sorted({row["margin"] for row in group}):
        rows = [row for row in group if row["margin"] == margin]
        smaller = [row for row in rows if "smaller" in row]
        asked = len(smaller) + sum("unproven" in row for row in rows)
        within = sum(row["smaller"] <= margin for row in smaller)
        texts.append(
            f"{margin:g}{_unit(group)}: {within} of {len(smaller)} truly within; "
            f"{len(smaller)} of {asked} smaller ones recommended"
        )
    return "<br>".join(texts)


def _describe_clear(group: Sequence[Row]) -> str:
    clear = [hit for is_clear, hit in (row["clear"] for row in group if "clear" in row) if is_clear]
    return f"{sum(clear)} of {len(clear)}" if clear else NONE


def _describe_seconds(group: Sequence[Row]) -> str:
    return f"{statistics.median(row['seconds'] for row in group):.1f} s"


FIGURES: tuple[tuple[str, Callable[[Sequence[Row]], str]], ...] = (
    ("studies", lambda group: str(len(group))),
    ("**corrected score**: mean error", _describe_error("corrected")),
    ("its 95 % interval covers", _cover("corrected")),
    ("median width of the interval", _describe_width),
    ("plain mean of the same runs: mean error", _describe_error("plain")),
    ("**selection bias**, as reported", _describe_bias("corrected")),
    ("true for the model of the best trial", _describe_bias("model")),
    ("true for its settings", _describe_bias("setting")),
    ("reported / true for the model", _describe_ratio("model")),
    ("**test score**: its 95 % interval covers", _cover("test")),
    ("MAE: its 95 % interval covers", _cover("mae")),
    ("hardest class: its interval covers", _cover("hardest")),
    ("clearly hardest, and truly below the other classes", _describe_clear),
    ("validation score of the kept model: its interval covers", _cover("validation")),
    ("**contenders**: mean error of the difference", _describe_contender_error),
    ("their 95 % intervals cover", _cover_contenders),
    ("champion's mean probability to be the best; truly the best", _describe_calibration),
    ("truly the best at probabilities 0–20, 20–50, 50–80, over 80 %", _describe_bands),
    ("Brier score; with equal probabilities", _describe_brier),
    ("**smaller network**, by margin", _describe_smaller),
    ("median time of a study", _describe_seconds),
)
"""The rows: a label, and the cell of a group's studies."""
