"""A user's program that runs studies in threads, after a fork and in a pool, beside autologging.

Its argument is a study file. It prints one JSON object: what became of each study.
"""

import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import mlflow

import harness

STUDY = sys.argv[1]
VARIABLES = {
    "MLFLOW_ACTIVE_MODEL_ID": "m-0123456789abcdef",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    "MLFLOW_EXPERIMENT_ID": "4711",
    "MLFLOW_EXPERIMENT_NAME": "mine",
    "MLFLOW_REGISTRY_URI": "sqlite:////nowhere/registry.db",
    "MLFLOW_RUN_ID": "0123456789abcdef",
    "MLFLOW_TRACKING_DIR": "/nowhere",
}


def run(home: str, workers: int | None = 1) -> str:
    """Run one study; return how it ended."""
    try:
        result = harness.run_study(
            STUDY, trials=1, device="cpu", workers=workers, confirm=False, home=home
        )
    except harness.HarnessError as error:
        return f"{type(error).__name__}: {error}"
    return f"{len(result.trials)} trial"


def run_in_thread(home: str, outcomes: dict[str, Any]) -> None:
    outcomes[home] = run(home)


def read_state() -> dict[str, Any]:
    """Read what a program shares with all of its libraries."""
    mask = os.umask(0)
    os.umask(mask)
    return {
        "variables": {k: v for k, v in os.environ.items() if k.startswith("MLFLOW_")},
        "umask": mask,
        "path": list(sys.path),
        "folder": str(Path.cwd()),
        "handlers": str([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]),
        "levels": [logging.getLogger(name).level for name in ("alembic", "mlflow.store.db.utils")],
        "store": mlflow.get_tracking_uri(),
    }


def main() -> None:
    outcomes: dict[str, Any] = {}
    mlflow.set_tracking_uri("sqlite:///mine.db")
    mlflow.autolog(silent=True)
    fork = multiprocessing.get_context("fork")
    with fork.Pool(1) as pool:  # its workers are daemonic
        outcomes["in-a-pool"] = pool.apply(run, ("in-a-pool",))
        outcomes["in-a-pool-alone"] = pool.apply(run, ("in-a-pool-alone", 0))
    with mlflow.start_run() as mine:
        del os.environ["MLFLOW_TRACKING_URI"]  # set_tracking_uri sets it; each study has its own
        os.environ |= VARIABLES
        before = read_state()

        thread = threading.Thread(target=run_in_thread, args=("in-a-thread", outcomes))
        thread.start()
        while not Path("in-a-thread").exists():
            thread.join(0.01)
        outcomes["beside-it"] = run("beside-it")
        thread.join()
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        outcomes["after-the-thread"] = run("after-the-thread")
        outcomes["same server"] = server == forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]

        outcomes["changed"] = [key for key, value in read_state().items() if value != before[key]]
        for name in VARIABLES:
            del os.environ[name]
        outcomes["runs of mine"] = len(mlflow.search_runs())
        outcomes["tags of mine"] = sorted(mlflow.get_run(mine.info.run_id).data.tags)

    if (pid := os.fork()) == 0:
        Path("forked.txt").write_text(run("after-a-fork"))
        os._exit(0)
    os.waitpid(pid, 0)
    outcomes["after-a-fork"] = Path("forked.txt").read_text()
    print(json.dumps(outcomes))


main()  # without `if __name__ == "__main__"`: a worker must not run this program again
