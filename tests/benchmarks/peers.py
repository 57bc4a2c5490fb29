"""Benchmark one list of trials as whole commands: harness, and what people write instead.

    python tests/benchmarks/peers.py DATA_DIR [ROUNDS] [EPOCHS] [TRIALS]

Each of these is a new process in a new folder that trains the same trials of fixed_list.py (20 by
default, 3 epochs each) on the same rows of FashionMNIST, and logs every epoch to MLflow in SQLite:

- loop: the usual loop of usual_loop.py, one trial after another, on torch's default threads;
- optuna: the same loop in an Optuna study, in a SQLite file, that reports every epoch;
- ray: the same loop in Ray Tune, a trial on each core, each on one thread; its trials report to
  Ray's MLflow callback, and get the data set from Ray's object store;
- harness: `harness run-study` of a study file with the list. It also exports the best model and
  writes the report, which the others do not.

All alternate, ROUNDS times (default 3). Printed are medians with minimum and maximum, and the
median of the ratios to harness within a round. The machine must be idle. Ray comes with the extra
`ray`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fixed_list import create_specs

from harness.trial import TrialSpec

NAMES = ("loop", "optuna", "ray", "harness")
STUDY = """\
[study]
sampler = "list"
pruner = "none"

[data]
name = "fashion-mnist"
"""


def train_with_loop(folder: Path, specs: list[TrialSpec]) -> None:
    from usual_loop import UsualLoop

    with UsualLoop(folder) as loop:
        for spec in specs:
            loop.train(spec)


def train_with_optuna(folder: Path, specs: list[TrialSpec]) -> None:
    import optuna
    from usual_loop import METRICS, UsualLoop

    study = optuna.create_study(storage="sqlite:///optuna.db", direction="maximize")
    with UsualLoop(folder) as loop:

        def objective(trial: optuna.Trial) -> float:
            trial.suggest_categorical("index", range(len(specs)))
            spec, best = specs[trial.number], 0.0

            def report() -> Any:
                nonlocal best
                for epoch, values in enumerate(loop.run_epochs(spec), 1):
                    accuracy = dict(zip(METRICS, values, strict=True))["val/accuracy"]
                    trial.report(accuracy, epoch)
                    best = max(best, accuracy)
                    yield values

            loop.log(spec, report())
            return best

        study.optimize(objective, n_trials=len(specs))


def train_with_ray(folder: Path, specs: list[TrialSpec]) -> None:
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    here = str(Path(__file__).parent)

    def train(config: dict[str, Any], loop: Any) -> None:
        import torch

        torch.set_num_threads(1)
        sys.path.insert(0, here)
        from usual_loop import METRICS

        for values in loop.run_epochs(TrialSpec.from_dict(config["spec"])):
            tune.report(dict(zip(METRICS, values, strict=True)))

    from usual_loop import UsualLoop

    callback = MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="ray")
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, loop=UsualLoop(folder)), {"cpu": 1}),
        param_space={"spec": tune.grid_search([spec.to_dict() for spec in specs])},
        run_config=tune.RunConfig(storage_path=str(Path.cwd() / "ray"), callbacks=[callback]),
    )
    results = tuner.fit()
    assert not results.errors, results.errors


def write_study(specs: list[TrialSpec]) -> None:
    """Write studies/fixed.toml: a `[[trial]]` table for each spec, with its keys of [train]."""
    default = TrialSpec().to_dict()
    lines = [STUDY, "[train]", f"epochs = {specs[0].epochs}", ""]
    for spec in specs:
        lines.append("[[trial]]")
        for key, value in spec.to_dict().items():
            if value != default[key] and key not in ("seed", "epochs"):
                lines.append(f"{key} = {json.dumps(value)}")
        lines.append("")
    Path("studies").mkdir()
    Path("studies/fixed.toml").write_text("\n".join(lines))


def measure(name: str, folder: Path, count: int, epochs: int) -> float:
    """Return the seconds of one command in a new folder."""
    command = [sys.executable, __file__, "--train", name, str(folder), str(count), str(epochs)]
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        if name == "harness":
            write_study(create_specs(count, epochs=epochs))
            command = [sys.executable, "-m", "harness", "run-study", "fixed", "--no-confirm"]
            command += ["--no-test", "--data-dir", str(folder)]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        os.chdir("/")
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return seconds


def main(folder: Path, rounds: int, epochs: int, count: int) -> None:
    from usual_loop import describe_machine

    print(describe_machine("cpu"))
    print(f"{count} trials of {epochs} epochs; load {os.getloadavg()[0]:.1f} before", flush=True)
    times: list[dict[str, float]] = []
    for index in range(rounds):
        times.append({name: measure(name, folder, count, epochs) for name in NAMES})
        shown = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times[-1].items())
        print(f"round {index + 1}: {shown}", flush=True)
    for name in NAMES:
        values = [one[name] for one in times]
        ratios = [one[name] / one["harness"] for one in times]
        spread = f"{statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})"
        ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        print(f"| {name} | {spread} | {ratio} | {rounds} |")


if __name__ == "__main__":
    if sys.argv[1] == "--train":
        _, _, name, where, count, epochs = sys.argv
        trainers = {"loop": train_with_loop, "optuna": train_with_optuna, "ray": train_with_ray}
        trainers[name](Path(where), create_specs(int(count), epochs=int(epochs)))
    else:
        numbers = dict(enumerate(map(int, sys.argv[2:])))
        main(Path(sys.argv[1]).resolve(), *(numbers.get(i, d) for i, d in enumerate((3, 3, 20))))
