"""How good the chosen model truly is, by how it was chosen, at equal training time.

    python tests/benchmarks/generalise.py --repetitions 25 --processes 2

Each repetition draws a small dataset whose truth is known (`known_truth.py`: 400 examples to train
and validate, 200 to test, 50,000 others as the truth) and runs a study of each kind on it:

    holdout   one validation set of 100 examples
    confirm   the same, and the best 3 settings are trained again on 3 new splits
    ensemble  the holdout study, whose best trials are combined
    folds     5 folds; the champion is trained again on all 400 examples
    reshuffle the same, and each trial draws folds of its own

The studies run by the real code without MLflow, as in `coverage.py`. `TRIALS` has the number of
trials of each kind: with it they train for about the same processor time, which is measured. Each
study adds a JSON line to the file of results; the same command continues. The table is in
docs/benchmarks/generalise.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.analysis.baseline_verdict import find_validated_run
from harness.analysis.paired_tests import read_predictions
from harness.analysis.summary import load_summary
from harness.config.model_tables import EnsembleTable
from harness.inference.recorded_model import load_ensemble_network
from harness.search.open_study import open_search
from harness.stats.bootstrap_selection import correct_best
from harness.sweep.confirm import confirm_best_settings
from harness.sweep.driver import Driver
from harness.sweep.ensemble import _choose, halve_validation
from harness.sweep.final_model import train_final_model
from harness.sweep.fold_outputs import join_validation_sets, select_final_files
from harness.sweep.options import RunOptions
from harness.sweep.plan import Plan, make_plan
from harness.sweep.progress import Silent
from harness.sweep.test_opening import load_recorded_model, open_test_set
from harness.system.signals import StopFlag
from harness.test_set.selection import freeze_selection
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import StudyRun
from tests.benchmarks.coverage import STUDY, read_results
from tests.benchmarks.generalise_table import format_table
from tests.benchmarks.known_truth import KnownTruth, draw_dataset

KINDS = ("made", "mnist", "fashion-mnist")
TRIALS = {"holdout": 40, "confirm": 30, "folds": 19, "reshuffle": 19}
"""The number of trials of each kind of study; the ensemble is chosen from those of `holdout`."""
FOLDED = ("folds", "reshuffle")
MEASURED = "<!-- measured -->"
"""The line of the page before the tables."""
RESULTS = Path(".cache/generalise.jsonl")


class FlushedTracker(InMemoryTracker):
    """A record in memory, to which every write is sent at once."""

    def flush(self) -> None: ...


def measure_dataset(
    kind: str, seed: int, method: str, data_dir: Path | None = None
) -> dict[str, Any]:
    """Run one kind of study on one dataset; return what it chose, and how good that truly is."""
    truth = draw_dataset(kind, seed, data_dir)
    row: dict[str, Any] = {"kind": kind, "seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        plan = _write_study(Path(folder), truth, seed, method)
        return row | _measure_method(plan, Path(folder) / "cache", truth, method)


def read_datasets(path: Path) -> list[dict[str, Any]]:
    """Return a row for each dataset, with the results of all its studies."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for row in read_results(path):
        rows.setdefault((row["kind"], row["seed"]), {}).update(row)
    return list(rows.values())


def _write_study(folder: Path, truth: KnownTruth, seed: int, method: str) -> Plan:
    np.savez(folder / "data.npz", **truth.arrays)
    text = STUDY.format(seed=seed, task="classes", margin=0.5, loss="cross-entropy")
    text = text.replace("trials = 12", f"trials = {TRIALS[method]}")
    if method in FOLDED:
        text = text.replace("validation = 0.25", "folds = 5")
    if method == "reshuffle":
        text = text.replace("folds = 5", "folds = 5\nreshuffle = true")
    file = folder / "study.toml"
    file.write_text(text)
    options = RunOptions(
        workers=0,
        device="cpu",
        data_dir=folder,
        home=folder / "mlruns",
        confirm=method == "confirm",
    )
    return make_plan(file, options)


def _measure_method(plan: Plan, cache: Path, truth: KnownTruth, method: str) -> dict[str, Any]:
    """Search, confirm, train the final model and open the test set; compare with the truth."""
    prepared = plan.prepare(cache, redraw=True)
    tracker, watcher, stop = FlushedTracker(), Silent(), StopFlag()
    objective = plan.config.study.objective
    with open_search(plan.config, plan.storage, split=prepared.split_hash) as search:
        tracker.open_study(plan.build_record(prepared, search.uid))
        started = time.process_time()
        with plan.create_executor(prepared, search.target) as executor:
            driver = Driver(
                search, executor, tracker, watcher,
                target=search.target, objective=objective, keep=50,
            )  # fmt: skip
            driver.run(stop)
            confirm_best_settings(plan, prepared, search, executor, tracker, watcher, stop)
            study = _read_study(tracker, plan)
            if method in FOLDED:
                train_final_model(plan, prepared, executor, tracker, study, watcher, stop)  # type: ignore[arg-type]
        seconds = time.process_time() - started
    study = _read_study(tracker, plan)
    selection = freeze_selection(study)
    model = load_recorded_model(tracker, study, selection.model_run)
    final = select_final_files(prepared)
    opened = open_test_set(plan.workspace, final, tracker, selection, study, watcher, stop)
    summary = load_summary(opened, selection.champion, tracker, Path(), "")
    assert summary.reading is not None
    champion = selection.champion
    row: dict[str, Any] = {
        "seconds": seconds,
        "true": measure(truth, model),
        "reported": champion.score,
        "interval": study.score.compute_interval(champion),
        "test": [summary.reading.score, *(study.score.compute_interval(summary.reading) or ())],
    }
    if summary.corrected_score is not None:
        row["corrected"] = [
            summary.corrected_score.value,
            *(summary.corrected_score.interval or ()),
        ]
    elif method != "confirm":
        row["corrected"] = correct_by_bootstrap(tracker, study)
    rows = {method: row}
    if method == "holdout":
        config = replace(plan.config, ensemble=EnsembleTable(size=16))
        validation = join_validation_sets(prepared.training)
        halves = halve_validation(prepared.training, validation)
        record = _choose(
            replace(plan, config=config), tracker, study, selection, validation, halves
        )
        network = load_ensemble_network(tracker, study, record)
        test = record.judged
        rows["ensemble"] = {
            "seconds": seconds,
            "true": measure(truth, network),
            "reported": test.score,
            "members": len(record.members),
        }
    return rows


def _read_study(tracker: InMemoryTracker, plan: Plan) -> StudyRun:
    study = tracker.read_study(plan.config.study.name)
    assert study is not None
    return study


def correct_by_bootstrap(tracker: InMemoryTracker, study: StudyRun) -> list[float]:
    """Return the champion's accuracy corrected by the bootstrap over the validation examples."""
    costs = []
    for run in study.rank_trials():
        predictions = read_predictions(tracker, find_validated_run(run, run))
        if predictions is not None:
            true, predicted = predictions.to_array()
            costs.append(true != predicted)
    wrong = np.stack(costs)
    corrected = correct_best(wrong, 1 - wrong)
    return [corrected.value, *corrected.interval]


@torch.inference_mode()
def measure(truth: KnownTruth, model: torch.nn.Module) -> float:
    """Return the true accuracy of a model."""
    parts = [model(part) for part in torch.split(truth.inputs, 10_000)]
    return float((torch.cat(parts).argmax(1).numpy() == truth.labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=25, help="of each kind of data")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", type=Path, help="the page to write the table to")
    parser.add_argument("--table", action="store_true", help="only print the table")
    arguments = parser.parse_args()
    data_dir = os.environ.get("HARNESS_DATA_DIR")
    kinds = KINDS if data_dir else KINDS[:1]
    done = {(row["kind"], row["seed"]): row.keys() for row in read_datasets(arguments.results)}
    wanted = [
        (kind, seed, method)
        for seed in range(arguments.repetitions)
        for kind in kinds
        for method in TRIALS
        if method not in done.get((kind, seed), ())
    ]
    todo = [] if arguments.table else wanted
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with (
        arguments.results.open("a") as file,
        ProcessPoolExecutor(arguments.processes, context, torch.set_num_threads, (1,)) as pool,
    ):
        path = Path(data_dir) if data_dir else None
        running = [pool.submit(measure_dataset, *each, path) for each in todo]
        for count, future in enumerate(as_completed(running), 1):
            row = future.result()
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{count} of {len(todo)}: {row['kind']} {row['seed']}", flush=True)
    table = format_table(read_datasets(arguments.results))
    print(table)
    if arguments.write:
        head = arguments.write.read_text().partition(MEASURED)[0]
        arguments.write.write_text(f"{head}{MEASURED}\n\n{table}")


if __name__ == "__main__":
    main()
