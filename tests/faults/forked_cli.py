"""Run `harness` commands in processes that are forked from one that has imported everything.

    with ForkServer() as fork_server:
        result = fork_server.run(folder, ["run-study", "./t.toml"], HARNESS_FAILPOINT="driver.told")

A fresh interpreter takes 8 s to import torch and mlflow, and torch 5 s more for its first export.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TIMEOUT = 170
"""Seconds after which SIGALRM ends a command."""


@dataclass(frozen=True)
class CommandResult:
    status: int
    """The exit status; negative for a signal."""
    out: str
    err: str


class ForkServer:
    """A context manager around the process that forks."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        """`prefix` is put before its command, for example `nsenter` and its options."""
        self._prefix = prefix

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [*self._prefix, sys.executable, "-m", "tests.faults.forked_cli", self._output.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # a pool of threads does not survive a fork
            cwd=Path(__file__).parent.parent.parent,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)
        self._output.cleanup()

    def run(self, folder: Path, arguments: Sequence[str], **environment: str) -> CommandResult:
        """Run one command in `folder` until it ends; `UMASK` (octal) sets its umask."""
        request = {"folder": str(folder), "arguments": arguments, "environment": environment}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        output = Path(self._output.name)
        return CommandResult(status, (output / "out").read_text(), (output / "err").read_text())


def main() -> None:
    """Read commands from standard input, run each in a fork, and write its exit status."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    _warm_up()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run_command(request)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers)


def _warm_up() -> None:
    """Run a study in this process, so that its imports and slow first steps are done."""
    from harness.api.run import run_study

    with tempfile.TemporaryDirectory() as name:
        study = Path(name) / "warm.toml"
        study.write_text('[study]\ntrials = 1\n[data]\nname = "digits"\n[train]\nepochs = 1\n')
        run_study(study, workers=0, device="cpu", home=study.parent / "mlruns")
    importlib.import_module("harness.cli.main")
    importlib.import_module("harness.checks.report")
    assert threading.active_count() == 1  # a fork would lose the others


def _run_command(request: dict[str, object]) -> None:
    """Run a command in the forked process; never returns."""
    status = 70
    signal.alarm(TIMEOUT)
    try:
        os.chdir(str(request["folder"]))
        for number, name in ((0, os.devnull), (1, f"{sys.argv[1]}/out"), (2, f"{sys.argv[1]}/err")):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(name, flags, 0o600), number)
        environment = request["environment"]
        assert isinstance(environment, dict)
        os.environ.update(environment)
        os.umask(int(environment.get("UMASK", "22"), 8))
        arguments = request["arguments"]
        assert isinstance(arguments, list)
        sys.argv = ["harness", *arguments]
        from harness.cli.main import run
        from harness.sweep import process_state

        process_state._PROCESSES.clear()  # forks are refused for lost threads, and here are none
        run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
