"""The file of results: one JSON line for each table, split and method, only ever appended to."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENT = "environment"
SCORES = ("error", "log_loss", "auc", "rmse", "mae", "r2", "nrmse")


@dataclass(frozen=True)
class Result:
    """The scores and the seconds of one method on one split."""

    table: str
    split: int
    method: str
    scores: dict[str, float]
    wall_seconds: float
    cpu_seconds: float
    load: float
    """Processes that the machine ran on average over a minute, when the fit ended."""
    trials: int
    rows: tuple[int, int]
    """Of the outer training part and of the outer test part."""
    columns: int
    digest: str
    settings: dict[str, Any]


def append(path: Path, record: dict[str, Any]) -> None:
    """Add a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(record) + "\n")


def read(path: Path) -> list[Result]:
    """Return the results; of two lines for the same fit, the last one counts.

    Raises ValueError where two methods had different rows under the name of one split.
    """
    results: dict[tuple[str, int, str], Result] = {}
    for record in _read_lines(path):
        if ENVIRONMENT not in record:
            result = Result(**record | {"rows": tuple(record["rows"])})
            results[result.table, result.split, result.method] = result
    check_splits(results.values())
    return list(results.values())


def read_environments(path: Path) -> list[dict[str, Any]]:
    """Return what each run wrote about its machine and its packages."""
    return [record[ENVIRONMENT] for record in _read_lines(path) if ENVIRONMENT in record]


def write_csv(results: Iterable[Result], path: Path) -> None:
    """Write the scores and the seconds of each fit, without the settings."""
    names = ("table", "split", "method", *SCORES, "cpu_seconds", "wall_seconds", "load")
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(vars(result) | result.scores for result in results)


def check_splits(results: Iterable[Result]) -> None:
    """Raise ValueError where two methods had different rows under the name of one split."""
    digests: dict[tuple[str, int], Result] = {}
    for result in results:
        other = digests.setdefault((result.table, result.split), result)
        if other.digest != result.digest:
            raise ValueError(
                f"{result.table}, split {result.split}: {result.method} and {other.method} had "
                "different rows; delete the older lines"
            )


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines; one that an interruption cut off is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records
