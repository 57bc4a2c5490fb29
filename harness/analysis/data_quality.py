"""What is on record of how fair a study's data is: the facts, as metrics and in a sentence.

The facts are JSON in the study's tags: `splits` (examples, SHA-256), `duplicates` (examples, of
these with another label) and `balance` (examples of each class).
"""

from __future__ import annotations

import json

from harness.data.leakage import PAIRS, SPLITS, SplitContents, DataQuality, Duplicates
from harness.tracking.types import StudyRun

LONGEST = 8000
"""Characters that MLflow takes in a tag."""


def facts_of(found: DataQuality) -> dict[str, str]:
    """What goes on record, by name; `fairness_of` reads it."""
    parts = found.parts.items()
    balance = _short({name: part.by_class for name, part in parts})
    if len(balance) > LONGEST:
        balance = _short({name: (min(part.by_class), max(part.by_class)) for name, part in parts})
    duplicates = {name: (of.examples, of.conflicting) for name, of in found.duplicates.items()}
    return {
        "splits": _short({name: (part.examples, part.digest) for name, part in parts}),
        "duplicates": _short(duplicates | {"dropped": found.dropped}),
        "balance": balance,
    }


def fairness_of(study: StudyRun) -> DataQuality | None:
    """As it is on record; None for an older record without it.

    Where the classes are too many for a tag, `by_class` holds the least and the most alone; a
    regression's is empty.
    """
    try:
        splits, duplicates, balance = (
            json.loads(study.facts[name]) for name in ("splits", "duplicates", "balance")
        )
        found = DataQuality(
            {
                name: SplitContents(int(examples), tuple(map(int, balance[name])), str(digest))
                for name in SPLITS
                for examples, digest in [splits[name]]
            },
            {
                name: Duplicates(int(examples), int(conflicting))
                for name in (*PAIRS, "train")
                for examples, conflicting in [duplicates[name]]
            },
            int(duplicates["dropped"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    told = all(bool(part.by_class) == bool(study.classes) for part in found.parts.values())
    return found if told else None


def data_metrics(study: StudyRun) -> dict[str, float]:
    """By their names in MLflow; empty for an older record.

    `data/duplicates_train_test` are the test examples that stand in the training part too,
    `data/conflicting_train_test` those of them with another label there; `data/imbalance_test` is
    the largest class over the smallest.
    """
    found = fairness_of(study)
    if found is None:
        return {}
    metrics: dict[str, float] = {"data/dropped": found.dropped}
    for name, of in found.duplicates.items():
        metrics[f"data/duplicates_{name}"] = of.examples
        metrics[f"data/conflicting_{name}"] = of.conflicting
    for name, part in found.parts.items():
        if min(part.by_class, default=0):
            metrics[f"data/imbalance_{name}"] = max(part.by_class) / min(part.by_class)
    return metrics


def data_line(study: StudyRun) -> str:
    """What stands in several parts, for the verdict; empty where nothing does, or nothing is known.

    `of 10,000 test examples 12 stand in training too (3 with another label)`.
    """
    found = fairness_of(study)
    if found is None:
        return ""
    said = [told(study, found, pair) for pair in PAIRS if found.duplicates[pair].examples]
    if found.dropped:
        said.insert(0, f"{found.dropped:,} duplicates were dropped from training")
    return "; ".join(said)


def told(study: StudyRun, found: DataQuality, pair: str) -> str:
    """`of 10,000 test examples 12 stand in training too (3 with another label)`."""
    first, second = pair.split("_")
    where = {"train": "training"}.get(first, first)
    part = study.test_name if second == "test" else second
    examples, of = found.parts[second].examples, found.duplicates[pair]
    verb = "stands" if of.examples < 2 else "stand"
    label = "label" if study.classes else study.score.target or "target"
    other = f" ({of.conflicting:,} with another {label})" if of.conflicting else ""
    return f"of {examples:,} {part} examples {of.examples or 'none'} {verb} in {where} too{other}"


def _short(values: object) -> str:
    return json.dumps(values, separators=(",", ":"))
