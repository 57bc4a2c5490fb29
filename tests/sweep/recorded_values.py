"""The values of studies on record, to compare this version's code with an earlier one's.

`python -m tests.sweep.recorded_values NAME=DATABASE...` prints what `mlflow.db` files hold.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

BEST = ("best/val_accuracy", "best/val_rmse")
FILES = ("predictions.npy", "weights.safetensors")


def read_values(database: Path, study: str) -> dict[str, list[object]]:
    """Return state, best score and files' SHA-256 of each trial of a study, by number and seed.

    Reads SQLite itself, so that it depends on nothing of what is under test.
    """
    tags: dict[str, dict[str, str]] = {}
    scores: dict[str, float] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for run, key, value in connection.execute(
            "SELECT run_uuid, key, value FROM tags JOIN runs USING (run_uuid) "
            "JOIN experiments USING (experiment_id) WHERE experiments.name = ?",
            (study,),
        ):
            tags.setdefault(run, {})[key] = value
        for run, key, value in connection.execute(
            "SELECT run_uuid, key, value FROM latest_metrics"
        ):
            if key in BEST:
                scores[run] = value
    values = {}
    for run, tag in tags.items():
        if "harness.spec" in tag:
            seed = json.loads(tag["harness.spec"])["seed"]
            name = f"{tag['harness.kind']} {int(tag['harness.number']):02d} seed {seed}"
            digests = [tag.get(f"harness.sha256.{file}", "")[:16] for file in FILES]
            values[name] = [tag["harness.state"], scores.get(run), *digests]
    return dict(sorted(values.items()))


def main() -> None:
    """Print one line a trial, as `recorded_values.json` has them."""
    studies = []
    for argument in sys.argv[1:]:
        name, _, database = argument.partition("=")
        rows = [
            f"  {json.dumps(trial)}: {json.dumps(values)}"
            for trial, values in read_values(Path(database), name).items()
        ]
        studies.append(f" {json.dumps(name)}: {{\n" + ",\n".join(rows) + "\n }")
    print("{\n" + ",\n".join(studies) + "\n}")


if __name__ == "__main__":
    main()
