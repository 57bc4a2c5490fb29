"""MLflow's process-wide settings: environment variables, loggers and autologging."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

PREFIX = "MLFLOW_"
REDIRECTIONS = (
    "MLFLOW_ACTIVE_MODEL_ID",
    "MLFLOW_ENABLE_ASYNC_LOGGING",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_LOG_MODEL_COMPRESSION",
    "MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_DIR",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_CONTEXT",
    "MLFLOW_RUN_ID",
    "MLFLOW_TRACKING_DIR",
    "MLFLOW_TRUNCATE_LONG_VALUES",
)
"""Variables of the user's other work that would send a study's records elsewhere or change them."""
LOGGERS = ("alembic", "mlflow.store.db.utils")


def configure_mlflow(retries: int = 4) -> None:
    """Turn off MLflow's telemetry, migration messages and redirections.

    Call it before mlflow is imported.

    Args:
        retries: of an HTTP request. Use 0 for writing: MLflow would repeat even the request that
            creates a run, and a lost answer would give two runs. The outbox looks the run up first.
    """
    for name in REDIRECTIONS:
        os.environ.pop(name, None)
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(retries)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It prints a traceback for a locked or full database; our own message is enough.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL + 1)


@contextmanager
def restore_mlflow_settings() -> Iterator[None]:
    """Restore the user's MLflow settings after the block, and turn autologging off inside it.

    Autologging would record harness's own use of scikit-learn as runs of the user.
    """
    variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    with ExitStack() as stack:
        if "mlflow" in sys.modules:
            from mlflow.utils.autologging_utils import disable_autologging

            stack.enter_context(disable_autologging())
        try:
            yield
        finally:
            for name in [name for name in os.environ if name.startswith(PREFIX)]:
                if name not in variables:
                    del os.environ[name]
            os.environ |= variables
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
