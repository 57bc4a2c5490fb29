"""What a study changes in its whole process: one study at a time, and all of it is restored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import ConfigError
from harness.system.signals import StopFlag, graceful_shutdown
from harness.tracking.mlflow.environment import restore_mlflow_settings
from harness.workspace import private_files

_LOCK = threading.Lock()


@contextmanager
def use_process() -> Iterator[StopFlag]:
    """Use this process for a study: private files, signals, MLflow's settings.

    Files that the study creates have mode 0600. Ctrl-C and SIGTERM set the flag that is yielded.
    Everything is restored afterwards. All of this is shared by the threads of a process, so that
    one study runs at a time. Raises ConfigError if another one is running.
    """
    if not _LOCK.acquire(blocking=False):
        raise ConfigError(
            "another study is running in this process; run them one after another, or each in a "
            "process of its own"
        )
    try:
        with private_files(), restore_mlflow_settings(), graceful_shutdown() as stop:
            yield stop
    finally:
        _LOCK.release()
