"""What a study changes in its whole process: one study at a time, and all of it is restored."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import ConfigError
from harness.system.home_folder import provide_home
from harness.system.signals import StopFlag, graceful_shutdown
from harness.tracking.mlflow.environment import restore_mlflow_settings
from harness.workspace import private_files

_LOCK = threading.Lock()
_PROCESSES: set[int] = set()
"""The id of the process that has run a study; a process that is forked from it inherits it."""


@contextmanager
def use_process() -> Iterator[StopFlag]:
    """Use this process for a study: private files, signals, MLflow's settings.

    Files that the study creates have mode 0600. Ctrl-C and SIGTERM set the flag that is yielded.
    Everything is restored afterwards. All of this is shared by the threads of a process, so that
    one study runs at a time.

    Raises ConfigError if another study is running, or if this process was forked from one that has
    run a study: it inherits the locks of threads that it does not have, and can hang for ever.
    """
    if _PROCESSES and os.getpid() not in _PROCESSES:
        raise ConfigError(
            "this process was forked from one that has run a study, and can hang; start it with "
            "multiprocessing.get_context('spawn')"
        )
    if not _LOCK.acquire(blocking=False):
        raise ConfigError(
            "another study is running in this process; run them one after another, or each in a "
            "process of its own"
        )
    provide_home()
    _PROCESSES.add(os.getpid())
    try:
        with private_files(), restore_mlflow_settings(), graceful_shutdown() as stop:
            yield stop
    finally:
        _LOCK.release()
