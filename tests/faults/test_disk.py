"""A disk that is full or read-only, a database that is damaged or locked, a port that is taken."""

from __future__ import annotations

import http.server
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.api.run import run_study
from tests.faults.forked_cli import ForkServer
from tests.faults.recorded_study import (
    PROGRESS_LINE,
    STUDY,
    check_line,
    record_study,
    run_command,
    run_refused_command,
)

MOUNT = ("mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs")


class Disks:
    """Mounts small disks: directly, or in a user namespace where this process is root."""

    def __init__(self, trial: Path) -> None:
        self.prefix: tuple[str, ...] = ()
        self.root = Path("/")
        """The root folder of the namespace, as seen from outside."""
        self._holder: subprocess.Popen[bytes] | None = None
        if self.run(*MOUNT, str(trial)).returncode == 0:
            self.run("umount", "--lazy", str(trial))
            return
        self._holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sleep", "infinity"],
            stderr=subprocess.DEVNULL,
        )
        inside = ("nsenter", f"--target={self._holder.pid}", "--user", "--mount")
        self.prefix = (*inside, "--preserve-credentials")
        self.root = Path(f"/proc/{self._holder.pid}/root")
        for _ in range(50):
            if self.run(*MOUNT, str(trial)).returncode == 0:
                return
            time.sleep(0.1)
        self.close()
        pytest.skip("cannot mount a small disk: mount and unshare --user --mount are not allowed")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.prefix, *words], capture_output=True, text=True, timeout=60)

    def close(self) -> None:
        if self._holder is not None:  # this also removes the namespace and its mounts
            self._holder.kill()
            self._holder.wait()


@dataclass(frozen=True)
class Disk:
    """A small disk mounted at `folder`."""

    folder: Path
    disks: Disks
    fork_server: ForkServer
    """Runs commands that see the disk."""

    @property
    def outside(self) -> Path:
        """Its folder, as seen from outside the namespace."""
        return self.disks.root / self.folder.relative_to("/")

    def remount(self, options: str) -> None:
        done = self.disks.run("mount", "-o", f"remount,{options}", str(self.folder))
        assert done.returncode == 0, done.stderr

    def harness(self, *arguments: str) -> tuple[int, str]:
        """Run a command on this disk; return its exit status and output."""
        done = self.fork_server.run(self.folder, arguments)
        output = done.out + done.err
        assert "Traceback" not in output, output[-4000:]
        return done.status, output


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Disks, ForkServer]]:
    disks = Disks(tmp_path_factory.mktemp("trial"))
    try:
        with ForkServer(disks.prefix) as fork_server:
            yield disks, fork_server
    finally:
        disks.close()


@pytest.fixture
def disk(tmp_path: Path, disks: tuple[Disks, ForkServer]) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk", *disks)
    disk.folder.mkdir()
    assert disk.disks.run(*MOUNT, str(disk.folder)).returncode == 0
    try:
        (disk.outside / "tiny.toml").write_text(STUDY)
        yield disk
    finally:
        disk.disks.run("umount", "--lazy", str(disk.folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_study(tmp_path_factory)


def last_line(output: str) -> str:
    """Return the error's line, which follows the progress lines."""
    lines = [line for line in output.splitlines() if line and not PROGRESS_LINE.match(line)]
    return check_line("\n".join(lines))


FINISHED = re.compile(r"  trial (\d+): \d")
RUN = ("run-study", "tiny.toml", "--cpu", "--workers=1", "--trials=6")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["400k", "2m", "4m"])
def test_a_full_disk_is_reported_and_nothing_is_lost(disk: Disk, size: str) -> None:
    """It fills before the database exists, while trials are recorded, or when the model is kept."""
    disk.remount(f"size={size}")
    status, output = disk.harness(*RUN)
    assert status in (1, 75), output
    line = last_line(output)
    assert "harness: " in line
    disk.remount("size=64m")
    status, again = disk.harness(*RUN)
    assert status == 0, again
    results = FINISHED.findall(output + again)
    assert 6 <= len(results) <= 7, "only what was in flight is trained again, under a new number"
    status, output = disk.harness("doctor", "tiny")
    assert status == 0, output
    status, output = disk.harness("studies")
    assert "tiny   6 " in output
    assert list((disk.outside / "mlruns" / "spool").rglob("*.spool")) == []


@pytest.mark.slow
def test_a_read_only_disk(disk: Disk) -> None:
    """Commands that write report it; commands that read work."""
    assert disk.harness(*RUN[:-1])[0] == 0
    disk.remount("ro")
    for arguments in (
        RUN,
        ("train", "tiny.toml", "--cpu"),
        ("report", "tiny"),
        ("compare", "tiny/0", "tiny/1"),
    ):
        status, output = disk.harness(*arguments)
        assert status == 1, (arguments, output)
        assert "ead-only" in last_line(output), (arguments, output)
    for arguments in (
        ("studies",),
        ("predict", "tiny", "--test=2"),
        ("doctor", "tiny"),
    ):
        status, output = disk.harness(*arguments)
        assert status == 0, (arguments, output)
    disk.remount("rw")
    assert disk.harness("report", "tiny")[0] == 0


@pytest.mark.slow
def test_a_read_only_disk_without_a_record(disk: Disk) -> None:
    disk.remount("ro")
    for arguments in (RUN, ("train", "tiny.toml", "--cpu")):
        status, output = disk.harness(*arguments)
        assert status == 1, output
        assert "ead-only" in last_line(output)
    status, output = disk.harness("studies")
    assert (status, "nothing yet" in output) == (0, True)


def damage(content: bytes, how: str) -> bytes:
    page = int.from_bytes(content[16:18], "big")
    middle = len(content) // 2
    if how == "wrong header":
        return b"SQLite format 2\0" + content[16:]
    if how == "cut in the middle of a page":
        return content[: middle + 100]
    if how == "cut between two pages":
        return content[: middle // page * page]
    if how == "cut within the header":
        return content[:50]
    if how == "garbage in its pages":
        return content[:page] + b"\xa5" * (len(content) - page)
    if how == "zeros in its pages":
        return content[:page] + bytes(len(content) - page)
    assert how == "garbage after the magic"
    return content[:16] + b"\xa5" * (len(content) - 16)


DAMAGES = (
    *("wrong header", "cut in the middle of a page", "cut between two pages"),
    *("cut within the header", "garbage in its pages", "zeros in its pages"),
    "garbage after the magic",
)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_database_is_reported_and_not_changed(
    folder: Path, tmp_path: Path, how: str
) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "tiny.toml").write_text(STUDY)
    database = tmp_path / "mlruns" / "mlflow.db"
    content = damage((folder / "mlruns" / "mlflow.db").read_bytes(), how)
    database.write_bytes(content)
    for arguments in (
        ("studies",),
        ("report", "tiny"),
        ("compare", "tiny/0", "tiny/1"),
        ("predict", "tiny", "--test=1"),
        ("ui",),
        ("run-study", "tiny.toml", "--cpu", "--workers=0"),
        ("train", "tiny.toml", "--cpu"),
    ):
        started = time.monotonic()
        line = run_refused_command(tmp_path, *arguments, statuses=(1,))
        assert "mlflow.db" in line
        assert time.monotonic() - started < 30, f"{arguments} retried it"
        assert database.read_bytes() == content, arguments
        beside = {path.name for path in database.parent.glob("mlflow.db?*")}
        assert beside == set(), f"{arguments} left {beside}"


@contextmanager
def lock_database(database: Path, seconds: float) -> Iterator[None]:
    """Hold a transaction on the database for `seconds`."""
    begun, rest = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            begun.set()
            rest.wait(seconds)
            connection.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(30)
    try:
        yield
    finally:
        rest.set()
        thread.join()


@pytest.mark.slow
def test_a_locked_database_does_not_delay_training(tmp_path: Path) -> None:
    """Writes that waited arrive, and the record is consistent at the end."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    home, seconds = tmp_path / "mlruns", 30  # longer than SQLite itself waits
    run_study(tmp_path / "tiny.toml", trials=1, home=home, workers=0, device="cpu")
    with lock_database(home / "mlflow.db", seconds):
        started = time.monotonic()
        result = run_study(tmp_path / "tiny.toml", trials=4, home=home, workers=0, device="cpu")
        assert time.monotonic() - started >= seconds - 1
    assert [run.state for run in result.summary.study.trials] == ["COMPLETE"] * 4
    ends = [run.epochs[-1].time for run in result.summary.study.trials]
    assert ends[3] - ends[1] < seconds, "training waited for the lock"
    status, output = run_command(tmp_path, "doctor", "tiny")
    assert status == 0, output


class NotFoundHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("who", ["HTTP server", "mute socket", "on all addresses"])
def test_a_port_in_use_is_reported(folder: Path, who: str) -> None:
    if who == "HTTP server":
        server = http.server.HTTPServer(("127.0.0.1", 0), NotFoundHandler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port, listener = server.server_port, server.socket
    else:
        listener = socket.socket()
        listener.bind(("127.0.0.1" if who == "mute socket" else "0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
    started = time.monotonic()
    line = run_refused_command(folder, "ui", "--port", str(port))
    assert line.startswith(f"harness: port {port} ")
    assert time.monotonic() - started < 10
    if who == "HTTP server":
        server.shutdown()
        thread.join()
    listener.close()


def test_a_folder_instead_of_a_file_is_reported(tmp_path: Path) -> None:
    """Also a file instead of the folder `mlruns`."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    study = ("run-study", "tiny.toml", "--cpu", "--workers=0")
    for name in ("mlruns/optuna/tiny.journal", "mlruns/optuna/tiny.lock", "mlruns/mlflow.db"):
        (tmp_path / name).mkdir(parents=True)
        line = run_refused_command(tmp_path, *study, statuses=(1,))
        assert name in line or str(Path(name).parent) in line
        shutil.rmtree(tmp_path / "mlruns")
    (tmp_path / "mlruns").write_text("")
    assert "mlruns" in run_refused_command(tmp_path, *study, statuses=(1,))
    assert (tmp_path / "mlruns").read_text() == ""
