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

from harness.sweep.run import run_study
from tests.faults.forked_cli import Nursery
from tests.faults.recorded_study import DATED, STUDY, check_line, command, recorded, refused

MOUNT = ("mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs")


class Disks:
    """Where small disks may be mounted: here, or in a namespace in which everyone is root."""

    def __init__(self, trial: Path) -> None:
        self.prefix: tuple[str, ...] = ()
        self.root = Path("/")
        """Of the namespace, as it is seen from here."""
        self._holder: subprocess.Popen[bytes] | None = None
        if self.do(*MOUNT, str(trial)).returncode == 0:
            self.do("umount", "--lazy", str(trial))
            return
        self._holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sleep", "infinity"],
            stderr=subprocess.DEVNULL,
        )
        inside = ("nsenter", f"--target={self._holder.pid}", "--user", "--mount")
        self.prefix = (*inside, "--preserve-credentials")
        self.root = Path(f"/proc/{self._holder.pid}/root")
        for _ in range(50):
            if self.do(*MOUNT, str(trial)).returncode == 0:
                return
            time.sleep(0.1)
        self.close()
        pytest.skip("a small disk: neither mount nor unshare --user --mount is allowed here")

    def do(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.prefix, *words], capture_output=True, text=True, timeout=60)

    def close(self) -> None:
        if self._holder is not None:  # the namespace goes with it, and the mounts with that
            self._holder.kill()
            self._holder.wait()


@dataclass(frozen=True)
class Disk:
    """A small disk of its own at `folder`."""

    folder: Path
    disks: Disks
    nursery: Nursery
    """One that sees it."""

    @property
    def seen(self) -> Path:
        """Its folder, from here."""
        return self.disks.root / self.folder.relative_to("/")

    def remount(self, options: str) -> None:
        done = self.disks.do("mount", "-o", f"remount,{options}", str(self.folder))
        assert done.returncode == 0, done.stderr

    def harness(self, *arguments: str) -> tuple[int, str]:
        """The exit status and the output of a command run on this disk."""
        done = self.nursery.run(self.folder, arguments)
        output = done.out + done.err
        assert "Traceback" not in output, output[-4000:]
        return done.status, output


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Disks, Nursery]]:
    disks = Disks(tmp_path_factory.mktemp("trial"))
    try:
        with Nursery(disks.prefix) as nursery:
            yield disks, nursery
    finally:
        disks.close()


@pytest.fixture
def disk(tmp_path: Path, disks: tuple[Disks, Nursery]) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk", *disks)
    disk.folder.mkdir()
    assert disk.disks.do(*MOUNT, str(disk.folder)).returncode == 0
    try:
        (disk.seen / "tiny.toml").write_text(STUDY)
        yield disk
    finally:
        disk.disks.do("umount", "--lazy", str(disk.folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory)


def last(output: str) -> str:
    """The one line that an error is told in, after the lines of progress."""
    lines = [line for line in output.splitlines() if line and not DATED.match(line)]
    return check_line("\n".join(lines))


FINISHED = re.compile(r"  trial (\d+) .* at epoch \d")
RUN = ("run-study", "tiny.toml", "--cpu", "--workers=1", "--trials=6")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["400k", "2m", "4m"])
def test_a_full_disk_is_said_and_nothing_is_lost(disk: Disk, size: str) -> None:
    """It fills before the database is made, while trials are recorded, when the model is kept."""
    disk.remount(f"size={size}")
    status, output = disk.harness(*RUN)
    assert status in (1, 75), output
    line = last(output)
    assert "harness: " in line
    disk.remount("size=64m")
    status, again = disk.harness(*RUN)
    assert status == 0, again
    results = FINISHED.findall(output + again)
    assert 6 <= len(results) <= 7, "only what was in flight is trained again, under a new number"
    status, output = disk.harness("doctor", "tiny")
    assert status == 0, output
    status, output = disk.harness("studies")
    assert "tiny   digits   6" in output
    assert list((disk.seen / "mlruns" / "spool").rglob("*.spool")) == []


@pytest.mark.slow
def test_a_read_only_disk(disk: Disk) -> None:
    """Who writes says that he cannot; who reads does."""
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
        assert "ead-only" in last(output), (arguments, output)
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
        assert "ead-only" in last(output)
    assert disk.harness("studies")[0] == 2


def spoil(content: bytes, how: str) -> bytes:
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


SPOILT = (
    *("wrong header", "cut in the middle of a page", "cut between two pages"),
    *("cut within the header", "garbage in its pages", "zeros in its pages"),
    "garbage after the magic",
)


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_database_is_named_and_left_alone(folder: Path, tmp_path: Path, how: str) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "tiny.toml").write_text(STUDY)
    database = tmp_path / "mlruns" / "mlflow.db"
    content = spoil((folder / "mlruns" / "mlflow.db").read_bytes(), how)
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
        line = refused(tmp_path, *arguments, statuses=(1,))
        assert "mlflow.db" in line
        assert time.monotonic() - started < 30, f"{arguments} asked it again and again"
        assert database.read_bytes() == content, arguments
        beside = {path.name for path in database.parent.glob("mlflow.db?*")}
        assert beside == set(), f"{arguments} left {beside}"


@contextmanager
def locked(database: Path, seconds: float) -> Iterator[None]:
    """Somebody else's transaction on it, from now on for so long."""
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
@pytest.mark.parametrize("seconds", [6, 30])
def test_a_locked_database_holds_up_no_training(tmp_path: Path, seconds: float) -> None:
    """What waits meanwhile arrives: all agrees at the end."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    home = tmp_path / "mlruns"
    run_study(tmp_path / "tiny.toml", trials=1, home=home, workers=0, device="cpu")
    with locked(home / "mlflow.db", seconds):
        started = time.monotonic()
        found = run_study(tmp_path / "tiny.toml", trials=4, home=home, workers=0, device="cpu")
        assert time.monotonic() - started >= seconds - 1
    assert [run.state for run in found.summary.study.trials] == ["COMPLETE"] * 4
    ends = [run.epochs[-1].time for run in found.summary.study.trials]
    assert ends[3] - ends[1] < seconds, "training waited for the lock"
    status, output = command(tmp_path, "doctor", "tiny")
    assert status == 0, output


class Polite(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("who", ["HTTP server", "mute socket", "on all addresses"])
def test_the_port_of_the_ui_is_taken(folder: Path, who: str) -> None:
    if who == "HTTP server":
        server = http.server.HTTPServer(("127.0.0.1", 0), Polite)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port, listener = server.server_port, server.socket
    else:
        listener = socket.socket()
        listener.bind(("127.0.0.1" if who == "mute socket" else "0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
    started = time.monotonic()
    line = refused(folder, "ui", "--port", str(port))
    assert line.startswith(f"harness: --port {port}: ")
    assert time.monotonic() - started < 10
    if who == "HTTP server":
        server.shutdown()
        thread.join()
    listener.close()


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    """And a file in the place of `mlruns`."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    study = ("run-study", "tiny.toml", "--cpu", "--workers=0")
    for name in ("mlruns/optuna/tiny.journal", "mlruns/optuna/tiny.lock", "mlruns/mlflow.db"):
        (tmp_path / name).mkdir(parents=True)
        line = refused(tmp_path, *study, statuses=(1,))
        assert name in line or str(Path(name).parent) in line
        shutil.rmtree(tmp_path / "mlruns")
    (tmp_path / "mlruns").write_text("")
    assert "mlruns" in refused(tmp_path, *study, statuses=(1,))
    assert (tmp_path / "mlruns").read_text() == ""
