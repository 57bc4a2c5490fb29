"""How often the intervals of a study are right: repeat small studies whose truth is known.

    python tests/benchmarks/coverage.py --studies 20 --kind made --kind regression
    python tests/benchmarks/coverage.py --processes 2      # all: 40 minutes on 2 cores at most

Each study is run by the real code: data from an `.npz` file, a search of 12 trials (TPE, median
pruner), the best 3 settings confirmed on 3 new splits, the test set opened, the summary. Only
MLflow is left out: the record is kept in memory. It has 300 training, 100 validation and 200 test
examples (see `known_truth.py`).

The truth of a model is its score on 50,000 other examples. The truth of a setting is the mean of
that over 24 models, each with its own seed and its own random split of the study's 400 training and
validation examples; for an RMSE, the root of the mean squared error over these models.

Every second study has the margin `MARGINS` instead of the default, because a loss of 0.5 points
cannot be excluded on so few examples: then no smaller network is recommended at all.

Each study adds one JSON line to the file of results. The same command continues after an
interruption; delete the file after a change of the code. The table is in
`docs/explanation/statistics.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.formatting import find_hardest_class
from harness.analysis.summary import Summary, load_summary
from harness.data.prepare import PreparedDataset, prepare
from harness.data.training_files import TrainingFiles
from harness.executors.base import Setup
from harness.executors.inline import InlineExecutor
from harness.results import TrialResult
from harness.search.fixed_trials import FixedSearch
from harness.search.open_study import open_search
from harness.sweep.confirm import confirm_best_settings
from harness.sweep.driver import Driver
from harness.sweep.options import RunOptions
from harness.sweep.plan import Plan, make_plan
from harness.sweep.progress import Silent
from harness.sweep.test_opening import open_test_set
from harness.system.signals import StopFlag
from harness.test_set.selection import freeze_selection
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import RunRecord
from harness.trial import TrialSpec
from tests.benchmarks.coverage_table import format_table
from tests.benchmarks.known_truth import KINDS, KnownTruth, draw_dataset

STUDIES = {"made": 190, "mnist": 60, "fashion-mnist": 60, "regression": 170}
"""How many studies of each kind are repeated."""
FRESH = 24
"""Models of a setting whose mean is its truth."""
MARGINS = {"classes": 5.0, "regression": 8.0}
"""`[confirm] margin` of every second study: points of accuracy, or percent of the RMSE."""
STUDY = """
[study]
name = "study"
trials = 12
seed = {seed}
[data]
name = "data.npz"
validation = 0.25
task = "{task}"
[confirm]
margin = {margin}
[train]
epochs = 15
batch_size = 50
loss = "{loss}"
[space]
depth = {{ low = 1, high = 2 }}
width = {{ low = 4, high = 64, log = true }}
learning_rate = {{ low = 1e-3, high = 5e-2, log = true }}
batch_norm = ["none", "before"]
dropout = {{ low = 0.0, high = 0.5 }}
l2 = {{ low = 1e-6, high = 1e-2, log = true }}
"""
RESULTS = Path(".cache/coverage.jsonl")


def measure_study(
    kind: str, seed: int, data_dir: Path | None = None, fresh: int = FRESH
) -> dict[str, Any]:
    """Run one study and compare what it reports with the truth."""
    started = time.perf_counter()
    truth = draw_dataset(kind, seed, data_dir)
    task = "regression" if truth.is_regression else "classes"
    margin = MARGINS[task] if seed % 2 else 0.5
    with tempfile.TemporaryDirectory() as folder:
        plan = _write_study(Path(folder), truth, task, seed, margin)
        cache = Path(folder) / "cache"
        prepared = plan.prepare(cache, redraw=True)
        summary, tracker = run_study(plan, prepared)
        settings = [each.trial for each in rank_confirmed_settings(summary.study)]
        true = _measure_settings(plan, cache, truth, settings, fresh)
        compared = _compare(summary, tracker, truth, true)
    seconds = time.perf_counter() - started
    return {"kind": kind, "seed": seed, "margin": margin, "seconds": seconds, **compared}


def _write_study(folder: Path, truth: KnownTruth, task: str, seed: int, margin: float) -> Plan:
    np.savez(folder / "data.npz", **truth.arrays)
    loss = "mse" if task == "regression" else "cross-entropy"
    file = folder / "study.toml"
    file.write_text(STUDY.format(seed=seed, task=task, margin=margin, loss=loss))
    options = RunOptions(workers=0, device="cpu", data_dir=folder, home=folder / "mlruns")
    return make_plan(file, options)


def run_study(plan: Plan, prepared: PreparedDataset) -> tuple[Summary, InMemoryTracker]:
    """Search, confirm, open the test set and summarize, with a record in memory."""
    tracker, watcher, stop = InMemoryTracker(), Silent(), StopFlag()
    objective = plan.config.study.objective
    with open_search(plan.config, plan.storage, split=prepared.split_hash) as search:
        tracker.open_study(plan.build_record(prepared, search.uid))
        with plan.create_executor(prepared, search.target) as executor:
            Driver(
                search, executor, tracker, watcher, target=search.target, objective=objective
            ).run(stop)
            confirm_best_settings(plan, prepared, search, executor, tracker, watcher, stop)
        study = tracker.read_study(plan.config.study.name)
        assert study is not None
        selection = freeze_selection(study)
        study = open_test_set(plan.workspace, prepared, tracker, selection, study, watcher, stop)
    return load_summary(study, selection.champion, tracker, Path(), ""), tracker


def _measure_settings(
    plan: Plan, cache: Path, truth: KnownTruth, settings: Sequence[RunRecord], fresh: int
) -> dict[int, dict[str, float]]:
    """Return each setting's true metrics, by its trial's number."""
    measured: dict[int, list[dict[str, Any]]] = {run.number: [] for run in settings}
    for number in range(1, fresh + 1):
        options = plan.config.data.model_dump() | {"split_seed": 1000 + number}
        files = prepare(**options, data_dir=plan.data_dir, cache=cache).training
        specs = [
            TrialSpec.from_dict(run.spec.to_dict() | {"seed": run.spec.seed + 1000 + number})
            for run in settings
        ]
        results = train_all(files, specs, plan)
        for run, spec in zip(settings, specs, strict=True):
            if (result := results.get(spec)) is not None:
                measured[run.number].append(truth.measure(spec, result.weights))
    return {
        number: {
            name: statistics.fmean(each[name] for each in rows)
            for name in rows[0]
            if name != "classes"
        }
        for number, rows in measured.items()
    }


def train_all(
    files: TrainingFiles, specs: Sequence[TrialSpec], plan: Plan
) -> dict[TrialSpec, TrialResult]:
    """Train models to their end; those that failed are left out."""
    objective = plan.config.study.objective
    source = FixedSearch("truth", specs, objective=objective)
    with InlineExecutor(files, Setup(objective, "cpu")) as executor:
        Driver(
            source,
            executor,
            InMemoryTracker(),
            Silent(),
            target=len(specs),
            objective=objective,
        ).run(StopFlag())
    outcomes = {specs[number]: outcome for number, outcome in source.outcomes.items()}
    return {spec: each for spec, each in outcomes.items() if isinstance(each, TrialResult)}


def _compare(
    summary: Summary,
    tracker: InMemoryTracker,
    truth: KnownTruth,
    settings: Mapping[int, Mapping[str, float]],
) -> dict[str, Any]:
    """Return each reported figure beside its truth. An interval is [value, low, high, truth]."""
    study, corrected, bias = summary.study, summary.corrected_score, summary.selection_bias
    assert corrected is not None
    assert corrected.interval is not None
    assert bias is not None
    assert summary.confirmation is not None
    assert summary.reading is not None
    of_setting = {number: _read_score(metrics) for number, metrics in settings.items()}
    champion, model, reading = summary.champion.number, summary.model_run, summary.reading
    true_model = truth.measure(model.spec, tracker.load_weights(model.uid))
    best = study.rank_trials()[0]
    true_best = _read_score(truth.measure(best.spec, tracker.load_weights(best.uid)))
    interval = study.score.compute_interval(reading)
    assert interval is not None
    measured: dict[str, Any] = {
        "corrected": [corrected.value, *corrected.interval, of_setting[champion]],
        "plain": [summary.confirmation.validation.mean, of_setting[champion]],
        "best": {
            "reported": bias.reported_score,
            "model": true_best,
            "setting": of_setting[best.number],
        },
        "test": [reading.score, *interval, _read_score(true_model)],
        "validation": [
            model.score,
            *(study.score.compute_interval(model) or ()),
            _read_score(true_model),
        ],
        "settings": len(of_setting),
    }
    if reading.mae_interval is not None:
        measured["mae"] = [reading.mae, *reading.mae_interval, true_model["mae"]]
    hardest = find_hardest_class(study.classes, reading.confusion)
    if hardest is not None:
        true_classes = true_model["classes"]
        true = true_classes[study.classes.index(hardest.name)]
        measured["hardest"] = [hardest.accuracy, *hardest.lowest.interval, true]
        # "Clearly hardest" means below the other classes together.
        measured["clear"] = [hardest.is_clear, true < statistics.fmean(true_classes)]
    if (contenders := corrected.contenders) is not None:
        sign, best_truth = study.score.sign, of_setting[champion]
        leads = {
            each.trial.number: sign * (of_setting[each.trial.number] - best_truth)
            for each in contenders.others
        }
        measured["contenders"] = [
            [each.difference, *each.interval, leads[each.trial.number]]
            for each in contenders.others
        ]
        top = max([0.0, *(-lead for lead in leads.values())])
        measured["best_probability"] = [
            [contenders.probability, top == 0],
            *(
                [each.probability, 0 < top == -leads[each.trial.number]]
                for each in contenders.others
            ),
        ]
        if corrected.smaller is not None:
            loss = leads[corrected.smaller.trial.number]
            measured["smaller"] = 100 * (loss if study.classes else loss / best_truth)
        elif corrected.unproven is not None:
            measured["unproven"] = True
    return measured


def _read_score(metrics: Mapping[str, Any]) -> float:
    """Return the accuracy, or the RMSE."""
    return float(metrics["accuracy"] if "accuracy" in metrics else math.sqrt(metrics["square"]))


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read the lines of earlier runs; a line that a crash cut off is skipped."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def measure_studies(
    todo: Sequence[tuple[str, int]], path: Path, processes: int, data_dir: Path | None
) -> None:
    """Measure studies and append each to the file of results as it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    started, context = time.monotonic(), multiprocessing.get_context("spawn")
    with (
        path.open("a") as file,
        ProcessPoolExecutor(processes, context, torch.set_num_threads, (1,)) as pool,
    ):
        running = {pool.submit(measure_study, *each, data_dir): each for each in todo}
        for count, (name, row) in enumerate(_collect(running), 1):
            if row is not None:
                file.write(json.dumps(row) + "\n")
                file.flush()
            minutes = (time.monotonic() - started) / 60
            left = minutes / count * (len(todo) - count)
            print(f"{count} of {len(todo)}: {name}, {minutes:.1f} min, {left:.1f} left", flush=True)


def _collect(
    running: Mapping[Future[dict[str, Any]], tuple[str, int]],
) -> Iterable[tuple[str, dict[str, Any] | None]]:
    for future in as_completed(running):
        kind, seed = running[future]
        try:
            yield f"{kind} {seed}", future.result()
        except Exception as error:  # one study; the next run of the command tries it again
            yield f"{kind} {seed} failed ({type(error).__name__}: {error})", None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="default: all")
    parser.add_argument("--studies", type=int, help="of each kind, instead of STUDIES")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print the table")
    arguments = parser.parse_args()
    data_dir = os.environ.get("HARNESS_DATA_DIR")
    kinds = arguments.kind or list(STUDIES)
    if not data_dir and arguments.kind is None and not arguments.table:
        print("without HARNESS_DATA_DIR, MNIST and FashionMNIST are left out")
        kinds = [kind for kind in kinds if "mnist" not in kind]
    counts = {kind: arguments.studies or STUDIES[kind] for kind in kinds}
    wanted = [(kind, seed) for kind in kinds for seed in range(counts[kind])]
    wanted.sort(key=lambda each: each[1] / counts[each[0]])  # all kinds in step
    done = {(row["kind"], row["seed"]) for row in read_results(arguments.results)}
    todo = [each for each in wanted if each not in done]
    if todo and not arguments.table:
        path = Path(data_dir) if data_dir else None
        measure_studies(todo, arguments.results, arguments.processes, path)
    print(format_table(read_results(arguments.results)))


if __name__ == "__main__":
    main()
