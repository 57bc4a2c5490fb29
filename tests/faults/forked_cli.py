"""`harness` as a process of its own, started in a moment: forked from one that has imported it all.

    with Nursery() as nursery:
        done = nursery.run(folder, ["run-study", "./tiny.toml"], HARNESS_FAILPOINT="driver.told")

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

LONGEST = 170
"""Seconds that a command may take; then SIGALRM ends it."""


@dataclass(frozen=True)
class Done:
    status: int
    """Of the exit; negative for a signal."""
    out: str
    err: str


class Nursery:
    """`prefix` is put before its own command, as that of `nsenter`."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._prefix = prefix

    def __enter__(self) -> Self:
        self._said = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [*self._prefix, sys.executable, "-m", "tests.faults.forked_cli", self._said.name],
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
        self._said.cleanup()

    def run(self, folder: Path, arguments: Sequence[str], **environment: str) -> Done:
        """One command in `folder`, to its end. `UMASK` (octal) is the umask it starts with."""
        order = {"folder": str(folder), "arguments": arguments, "environment": environment}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        said = Path(self._said.name)
        return Done(status, (said / "out").read_text(), (said / "err").read_text())


def main() -> None:
    """Serve orders from standard input, each in a fork of its own; answers are exit statuses."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    _warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers)


def _warm_up() -> None:
    """Run a study here, so that what it imports and what is slow the first time is done."""
    from harness.sweep.run import run_study

    with tempfile.TemporaryDirectory() as name:
        study = Path(name) / "warm.toml"
        study.write_text('[study]\ntrials = 1\n[data]\nname = "digits"\n[train]\nepochs = 1\n')
        run_study(study, workers=0, device="cpu", home=study.parent / "mlruns")
    importlib.import_module("harness.cli.main")
    importlib.import_module("harness.doctor.report")
    assert threading.active_count() == 1  # a fork has but the one


def _become(order: dict[str, object]) -> None:
    """The forked process: never returns."""
    status = 70
    signal.alarm(LONGEST)
    try:
        os.chdir(str(order["folder"]))
        for number, name in ((0, os.devnull), (1, f"{sys.argv[1]}/out"), (2, f"{sys.argv[1]}/err")):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(name, flags, 0o600), number)
        environment = order["environment"]
        assert isinstance(environment, dict)
        os.environ.update(environment)
        os.umask(int(environment.get("UMASK", "22"), 8))
        arguments = order["arguments"]
        assert isinstance(arguments, list)
        sys.argv = ["harness", *arguments]
        from harness.cli.main import run

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
