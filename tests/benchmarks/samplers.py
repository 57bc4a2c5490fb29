"""How many trials each sampler and pruner needs: the same studies by all of them.

    python -m tests.benchmarks.samplers RESULTS --data digits
    python -m tests.benchmarks.samplers RESULTS --data digits --modelled
    python -m tests.benchmarks.samplers RESULTS --table

Each search is that of harness: `harness.search.study.Search` asks, is told each epoch's validation
accuracy, prunes, and learns. Only the tracking store is left out, and Optuna's record is in memory.
The curves are real, or with `--modelled` from a model of real ones: see `learning_curves.py`.
RESULTS is a folder; each curve and each search adds a JSON line there, and is not done again.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import InMemoryStorage

from harness.config.schema import StudyConfig
from harness.config.search_space import Range, SearchSpace, SuggestsValues
from harness.search.retried_trials import OrderedRetriesStudy
from harness.search.samplers import PRUNERS, RANDOM_TRIALS, SAMPLERS, SamplerType, make_pruner
from harness.search.study import Search
from harness.trial import Trial, TrialSpec, derive_seed
from tests.benchmarks.learning_curves import (
    STUDIES,
    Curve,
    Curves,
    ModelledCurves,
    TrainedCurves,
    append_line,
    read_lines,
    repeat_settings,
)
from tests.benchmarks.samplers_table import BASE, format_models, format_tables
from tests.search.tiny_study import make_metrics, make_result

ALL_WIDTHS = ", all widths"
"""The end of a sampler's name that draws the widths of absent layers too."""
SEEDS, TRIALS, MANY = 10, 50, 200


@dataclass(frozen=True)
class AllWidths(SearchSpace):
    """A space that draws the widths of all layers, and leaves out those that are not used."""

    def suggest(self, trial: SuggestsValues, fixed: Any) -> TrialSpec:
        spec = super().suggest(trial, fixed)
        depth = self.dimensions["depth"]
        assert isinstance(depth, Range)
        for layer in range(len(spec.hidden) + 1, int(depth.high) + 1):
            self._suggest_value(trial, f"width_{layer}", self.dimensions["width"], "width")
        return spec


def _seed(config: StudyConfig, ordinal: int) -> int:
    return derive_seed("sampler", config.study.seed, ordinal) % 2**32


def _make_tpe(**options: Any) -> SamplerType:
    def make(config: StudyConfig, ordinal: int, space: IntersectionSearchSpace) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                **{"seed": _seed(config, ordinal), "n_startup_trials": RANDOM_TRIALS} | options
            )

    return SamplerType(make, learns=True)


def _make_cma_es(config: StudyConfig, ordinal: int, space: IntersectionSearchSpace) -> BaseSampler:
    """CMA-ES; a choice, which it cannot model, is drawn by TPE."""
    seed = _seed(config, ordinal)
    return CmaEsSampler(
        seed=seed,
        n_startup_trials=RANDOM_TRIALS,
        independent_sampler=TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS),
        warn_independent_sampling=False,
    )


VARIANTS = {
    "tpe, group": _make_tpe(group=True),
    "tpe, no constant liar": _make_tpe(constant_liar=False),
    "tpe, univariate": _make_tpe(multivariate=False),
    "tpe, 5 random trials": _make_tpe(n_startup_trials=5),
    "cma-es": SamplerType(_make_cma_es, learns=True),
}
"""Samplers that harness does not have. AutoSampler of OptunaHub is missing: its code chooses TPE
with harness's options for a space that has a choice or a condition, as all of these have."""
MODELLED = (BASE, "qmc", "tpe", *VARIANTS, "gp")
MODELLED += tuple(f"{sampler}{ALL_WIDTHS}" for sampler in ("tpe", "gp", "cma-es"))
TRAINED = (BASE, "tpe", f"tpe{ALL_WIDTHS}", "gp", f"gp{ALL_WIDTHS}")


@dataclass(frozen=True)
class Case:
    """One search to run."""

    data: str
    modelled: bool
    sampler: str
    pruner: str = "median"
    in_flight: int = 1
    trials: int = TRIALS
    seed: int = 0


def run_search(case: Case, curves: Curves) -> dict[str, Any]:
    """Run one search; return the best score after each trial, and the epochs of each."""
    sampler = case.sampler.removesuffix(ALL_WIDTHS)
    settings = {"sampler": sampler, "pruner": case.pruner, "seed": case.seed}
    config = replace(
        curves.config,
        study=curves.config.study.model_copy(update=settings | {"trials": case.trials}),
    )
    if case.sampler.endswith(ALL_WIDTHS):
        config = replace(config, space=AllWidths(config.space.dimensions))
    search = _create_search(config)
    running: list[Trial] = []
    best, epochs, sampling = [0.0], [], 0.0
    for number in range(case.trials + case.in_flight - 1):
        if number < case.trials:
            started = time.process_time()
            running.append(search.ask())
            sampling += time.process_time() - started
        if number >= case.in_flight - 1:  # the trial that began first ends
            trial = running.pop(0)
            curve = _report_curve(search, trial.number, curves.get_curve(trial.spec))
            pruned = len(curve) < trial.spec.epochs
            result = make_result(max(curve), "pruned" if pruned else "finished")
            search.tell_result(trial.number, result)
            best.append(max(best[-1], 0.0 if pruned else max(curve)))
            epochs.append(len(curve))
    return {"best": best[1:], "epochs": epochs, "sampling": sampling}


def _create_search(config: StudyConfig) -> Search:
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="study", direction="maximize")
    study = OrderedRetriesStudy("study", storage, pruner=make_pruner(config))
    study.set_user_attr("uid", "study")
    study.set_user_attr("set_aside", None)
    return Search(config, study)


def _report_curve(search: Search, number: int, curve: Curve) -> Curve:
    """Report a curve until the trial is pruned; return the part that was trained."""
    for epoch, score in enumerate(curve, 1):
        if not search.report(number, make_metrics(score, epoch)) and epoch < len(curve):
            return curve[:epoch]
    return curve


class RecordedCurves:
    """Keeps the curves of the settings that were asked for, in order."""

    def __init__(self, curves: Curves) -> None:
        self._curves, self.config = curves, curves.config
        self.pool: dict[TrialSpec, Curve] = {}

    def get_curve(self, spec: TrialSpec) -> Curve:
        self.pool[spec] = self._curves.get_curve(spec)
        return self.pool[spec]


def model_curves(data: str, trained: TrainedCurves, seeds: int) -> ModelledCurves:
    """Fit the model to the trials of the random searches, and to some of them with another seed."""
    recorded = RecordedCurves(trained)
    for seed in range(seeds):
        run_search(Case(data, False, "random", "none", seed=seed), recorded)
    repeats = list(repeat_settings(recorded.pool, trained))
    return ModelledCurves(trained.config, recorded.pool, repeats)


def list_cases(data: str, modelled: bool, seeds: int) -> Iterator[Case]:
    """Yield the searches on one dataset, seed by seed: an interruption leaves whole seeds."""
    for seed in range(seeds):
        case = Case(data, modelled, BASE, seed=seed)
        for sampler in MODELLED if modelled else TRAINED:
            yield replace(case, sampler=sampler)
        if modelled:
            for sampler, pruner in product(
                (BASE, "tpe"), [each for each in PRUNERS if each != case.pruner]
            ):
                yield replace(case, sampler=sampler, pruner=pruner)
            many = replace(case, trials=MANY)
            yield many
            for sampler, in_flight in product(("tpe", "tpe, no constant liar"), (1, 2, 8, 64)):
                yield replace(many, sampler=sampler, in_flight=in_flight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--table", action="store_true", help="only print the tables")
    parser.add_argument("--data", choices=sorted(STUDIES), default="digits")
    parser.add_argument("--modelled", action="store_true", help="on a model of trained curves")
    parser.add_argument("--pool", type=int, default=SEEDS, help="random searches to model")
    parser.add_argument("--sampler", action="append", help="default: all")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    searches, models = arguments.results / "searches.jsonl", arguments.results / "models.jsonl"
    if arguments.table:
        print(format_tables(read_lines(searches)), format_models(read_lines(models)), sep="\n\n")
        return
    SAMPLERS.update(VARIANTS)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data, data_dir = arguments.data, os.environ.get("HARNESS_DATA_DIR")
    path = arguments.results / f"{data}.jsonl"
    trained = TrainedCurves(data, path, Path(data_dir) if data_dir else None)
    curves: Curves = trained
    if arguments.modelled:
        curves = model = model_curves(data, trained, arguments.pool)
        append_line(models, {"data": data, **model.measure()})
    done = {Case(**row["case"]) for row in read_lines(searches)}
    for case in list_cases(data, arguments.modelled, arguments.seeds):
        if case not in done and case.sampler in (arguments.sampler or [case.sampler]):
            result = run_search(case, curves)
            append_line(searches, {"case": vars(case), **result})
            print(
                case, f"{result['best'][-1]:.4f}, sampling {result['sampling']:.1f} s", flush=True
            )


if __name__ == "__main__":
    main()
