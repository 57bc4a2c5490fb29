"""Security: pickles are refused, files are private, no port is open, passwords do not leak."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import pickle
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data import builtin, cifar10
from harness.data.prepare import prepare
from harness.errors import DataError, StoreError
from harness.models.mlp import load_model
from harness.trial import TrialSpec
from harness.workspace import Workspace
from tests.data.test_cifar10 import write_files as write_cifar10
from tests.faults.faulty_proxy import Proxy
from tests.faults.forked_cli import ForkServer
from tests.faults.mlflow_server import MlflowServer, find_free_port
from tests.faults.recorded_study import (
    STUDY,
    find_champion,
    record_study,
    run_command,
    run_refused_command,
)
from tests.support import tiny_mnist
from tests.support.postgres import Postgres

HARNESS = (sys.executable, "-m", "harness")


class Trap:
    """An object whose pickle creates a folder when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.canary,)


def make_traps(canary: Path) -> dict[str, bytes]:
    """Return the pickle alone, in NumPy's two formats and in torch's."""
    trap, one, many, saved = Trap(canary), io.BytesIO(), io.BytesIO(), io.BytesIO()
    objects = np.array([trap], dtype=object)
    np.save(one, objects, allow_pickle=True)
    np.savez(many, true=objects, predicted=objects, probability=objects)
    torch.save(trap, saved)
    return {
        "pickle": pickle.dumps(trap),
        "npy": one.getvalue(),
        "npz": many.getvalue(),
        "torch": saved.getvalue(),
    }


FORMATS = pytest.mark.parametrize("form", ["pickle", "npy", "npz", "torch"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_study(tmp_path_factory)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "the pickle was executed"


@contextmanager
def replace_content(path: Path, content: bytes) -> Iterator[None]:
    """Replace a file's content while the block runs."""
    original = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(original)


@FORMATS
def test_the_trap_works(tmp_path: Path, form: str) -> None:
    """Otherwise the tests below would show nothing."""
    stream = io.BytesIO(make_traps(tmp_path / "canary")[form])
    if form == "torch":
        torch.load(stream, weights_only=False)
    elif form == "npz":
        assert np.load(stream, allow_pickle=True)["true"].shape == (1,)
    else:
        np.load(stream, allow_pickle=True)
    assert (tmp_path / "canary").exists()


READERS = {
    "predictions.npy": [("compare", "tiny/0", "tiny/1"), ("report", "tiny")],
    "test-predictions.npz": [("predict", "tiny", "--test", "1")],
    "trial.json": [("report", "tiny"), ("compare", "tiny/0", "tiny/1"), ("predict", "tiny/0",
                   "--test", "1")],
    "test_readings.json": [("report", "tiny"), ("predict", "tiny", "--test", "1"), ("studies",)],
    "mistakes.json": [("report", "tiny")],
}  # fmt: skip


@FORMATS
@pytest.mark.parametrize("name", READERS)
def test_a_pickle_among_a_runs_files(folder: Path, canary: Path, name: str, form: str) -> None:
    run_id, _ = find_champion(folder)
    paths = sorted((folder / "mlruns" / "artifacts").rglob(name))
    assert paths
    chosen = [path for path in paths if run_id in path.parts] or paths
    with replace_content(chosen[0], make_traps(canary)[form]):
        for arguments in READERS[name]:
            line = run_refused_command(folder, *arguments, statuses=(1,))
            assert name in line
            assert not canary.exists()


@FORMATS
def test_a_pickle_as_weights(canary: Path, form: str) -> None:
    with pytest.raises(StoreError, match="cannot be loaded into it"):
        load_model(TrialSpec(), 10, make_traps(canary)[form])


@FORMATS
def test_a_pickle_as_a_study_file_or_a_database(tmp_path: Path, canary: Path, form: str) -> None:
    work = tmp_path / "work"
    (work / "mlruns").mkdir(parents=True)
    (work / "trap.toml").write_bytes(make_traps(canary)[form])
    assert "trap.toml" in run_refused_command(work, "run-study", "trap.toml")
    database = work / "mlruns" / "mlflow.db"
    database.write_bytes(make_traps(canary)[form])
    (work / "tiny.toml").write_text(STUDY)
    for arguments in (
        ("report", "tiny"),
        ("compare", "tiny", "other"),
        ("predict", "tiny", "--test=1"),
        ("studies",),
        ("ui",),
        ("run-study", "tiny.toml", "--cpu", "--workers=0"),
    ):
        assert "mlflow.db" in run_refused_command(work, *arguments, statuses=(1,))
        assert database.read_bytes() == make_traps(canary)[form]


@FORMATS
def test_a_pickle_as_a_journal(tmp_path: Path, canary: Path, form: str) -> None:
    """The journal has no valid record, and the error names it."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    journal = tmp_path / "mlruns" / "optuna" / "tiny.journal"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(make_traps(canary)[form])
    arguments = ("run-study", "tiny.toml", "--cpu", "--workers=0")
    assert "tiny.journal" in run_refused_command(tmp_path, *arguments, statuses=(1,))


CACHE_FILES = ("training/inputs.npy", "training/labels.npy", "split-*/train.npy",
         "split-*/validation.npy", "meta.json", "split-*/meta.json")  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache-to-spoil")
    prepare(**SPLIT, cache=folder / "harness")  # type: ignore[arg-type]
    return folder


SPLIT = {"name": "digits", "validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}


@pytest.mark.parametrize("part", CACHE_FILES)
def test_a_pickle_in_the_cache(
    cache: Path, tmp_path: Path, canary: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    (path,) = cache.glob(f"harness/decoded/digits-*/{part}")
    for content in make_traps(canary).values():
        with replace_content(path, content):
            _, output = run_command(tmp_path, "run-study", "tiny.toml", "--cpu", "--workers=0")
            line = output.splitlines()[-1]
            assert line.startswith("harness: the cached")
            assert str(path if path.suffix == ".npy" else path.parent) in line
            assert not canary.exists()


def test_a_pickle_as_the_cached_test_images(folder: Path, canary: Path, isolated: Path) -> None:
    """The predictions are shown without the images."""
    path = prepare(**SPLIT, cache=isolated / "harness").test.inputs  # type: ignore[arg-type]
    for content in make_traps(canary).values():
        with replace_content(path, content):
            status, output = run_command(folder, "predict", "tiny", "--test", "1")
            assert status == 0
            assert "cannot be read" in output
            assert not canary.exists()


def test_a_pickle_as_a_dataset(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "data"))
    write_cifar10(tmp_path / "data", count=20)
    raw = tmp_path / "data" / "MNIST" / "raw"
    batches = tmp_path / "data" / cifar10.FOLDER
    files = [
        *((path, "mnist") for path in raw.iterdir()),
        *((p, "cifar10") for p in batches.iterdir()),
    ]
    for content in make_traps(canary).values():
        for path, name in files:
            with (
                replace_content(path, content),
                pytest.raises(DataError, match=re.escape(path.name)),
            ):
                prepare(**SPLIT | {"name": name}, data_dir=tmp_path / "data", cache=tmp_path)  # type: ignore[arg-type]
            assert not canary.exists()


def test_an_old_pickle_of_torchvision_is_not_read(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`processed/*.pt` has no checksum, but torchvision's classes prefer it to the raw files."""
    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "data"))
    processed = tmp_path / "data" / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(make_traps(canary)["torch"])
    prepared = prepare(**SPLIT | {"name": "mnist"}, data_dir=tmp_path / "data", cache=tmp_path)  # type: ignore[arg-type]
    assert prepared.sizes["test"] == 100


def find_public_files(folder: Path) -> list[str]:
    """Return the paths in a folder, itself included, that other users can read or write."""
    return [
        f"{oct(path.lstat().st_mode)} {path}"
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077 and not stat.S_ISLNK(path.lstat().st_mode)
    ]


def test_files_of_a_study_are_private(folder: Path) -> None:
    """Also when it is called from Python."""
    assert find_public_files(folder / "mlruns") == []


@pytest.mark.slow
def test_every_command_makes_private_files(tmp_path: Path, fork_server: ForkServer) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    for arguments in (
        "run-study tiny.toml --cpu --workers=2",
        "train tiny.toml --cpu --test",
        "report tiny",
        "compare tiny/0 tiny/1",
        "predict tiny --test 2",
        "studies",
    ):
        done = fork_server.run(tmp_path, arguments.split(), UMASK="000")
        assert done.status == 0, done.err
        assert find_public_files(tmp_path / "mlruns") == [], arguments


def find_process_tree(pid: int) -> set[int]:
    """Return a process and all its living descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # the process has ended
            continue
    tree = {pid}
    while children := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= children
    return tree


def find_listening_addresses(pids: set[int]) -> set[str]:
    """Return the addresses in /proc that processes listen on or receive datagrams at."""
    inodes = set()
    for pid in pids:
        try:
            for link in Path(f"/proc/{pid}/fd").iterdir():
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    addresses = set()
    for name, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and fields[9] in inodes:
                addresses.add(fields[1].partition(":")[0])
    return addresses


LOCAL = "0100007F"
"""127.0.0.1, as the kernel writes it."""


def test_open_ports_are_detected() -> None:
    with socket.socket() as here, socket.socket() as everywhere:
        here.bind(("127.0.0.1", 0))
        assert find_listening_addresses({os.getpid()}) == set()
        here.listen()
        assert find_listening_addresses({os.getpid()}) == {LOCAL}
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        assert find_listening_addresses({os.getpid()}) == {LOCAL, "00000000"}


@pytest.mark.slow
def test_a_study_opens_no_port(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    arguments = ("run-study", "tiny.toml", "--cpu", "--workers=2", "--set", "train.epochs=20")
    with subprocess.Popen(
        [*HARNESS, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        most = 0
        while process.poll() is None:
            pids = find_process_tree(process.pid)
            most = max(most, len(pids))
            assert find_listening_addresses(pids) == set()
            time.sleep(0.05)
    assert process.returncode == 0
    assert most >= 3  # the driver and two workers


@contextmanager
def run_ui(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[int, str]]:
    """Run `harness ui`; yield its process id and the address that it prints."""
    process = subprocess.Popen(
        [*HARNESS, "ui", *arguments],
        cwd=folder,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.slow
def test_the_ui_is_local_and_private(folder: Path) -> None:
    """Even if the user's environment asks for something else."""
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true",
        "MLFLOW_DISABLE_TELEMETRY": "false",
    }
    with run_ui(folder, environment=environment) as (pid, address):
        assert address.startswith("http://127.0.0.1:")
        assert find_listening_addresses(find_process_tree(pid)) == {LOCAL}
        servers = find_process_tree(pid) - {pid}
        assert servers
        for server in servers:
            content = Path(f"/proc/{server}/environ").read_bytes().decode().split("\0")
            variables = dict(entry.partition("=")[::2] for entry in content if entry)
            assert variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
            assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"
            assert "\nUmask:\t0077\n" in Path(f"/proc/{server}/status").read_text()
            assert b"mlflow.db" not in Path(f"/proc/{server}/cmdline").read_bytes()
    assert find_process_tree(pid) == {pid}
    assert find_public_files(folder / "mlruns") == []


USER, PASSWORD = "somebody", "CANARY@s/cr:t%"
QUOTED = "CANARY%40s%2Fcr%3At%25"
SECRETS = [
    b"CANARY",
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).rstrip(b"="),
    base64.b64encode(PASSWORD.encode()).rstrip(b"="),
]


def find_leaks(content: bytes) -> list[bytes]:
    """Return the secrets in a file's content, also in a compressed one."""
    leaks = [secret for secret in SECRETS if secret in content]
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                leaks += find_leaks(archive.read(name))
    if content[:2] == b"\x1f\x8b":
        leaks += find_leaks(gzip.decompress(content))
    return leaks


def find_leaking_files(folder: Path) -> list[str]:
    """Return the files whose name or content holds a secret."""
    return [
        str(path)
        for path in folder.rglob("*")
        if find_leaks(path.name.encode()) or (path.is_file() and find_leaks(path.read_bytes()))
    ]


def test_leaks_are_detected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", f"x{QUOTED}")
    (tmp_path / "plain").write_bytes(b"-" + SECRETS[1])
    (tmp_path / "innocent").write_text(hashlib.sha256(b"").hexdigest())
    assert sorted(Path(path).name for path in find_leaking_files(tmp_path)) == ["plain", "zip"]


def run_without_leaks(
    fork_server: ForkServer, folder: Path, *arguments: str, **environment: str
) -> tuple[int, str]:
    """Run a command in a forked process; return its status and output, checked for leaks."""
    done = fork_server.run(folder, arguments, **environment)
    output = done.out + done.err
    assert find_leaks(output.encode()) == [], output[:3000]
    assert "Traceback" not in output, output[-3000:]
    return done.status, output


ABSENT = [
    f"http://{USER}:{QUOTED}@127.0.0.1:9",
    f"http://{USER}:{PASSWORD}@127.0.0.1:9",
    f"http://{QUOTED}@127.0.0.1:9",
    f"http:/{USER}:{QUOTED}@127.0.0.1:9",
    f"{USER}:{QUOTED}@127.0.0.1:9",
    f"ftp://{USER}:{QUOTED}@127.0.0.1:9",
    f"http://{USER}:{QUOTED}://@127.0.0.1:9",
    f"http://{USER}:{QUOTED}@127.0.0.1:port",
    f"http://{USER}:{QUOTED}@[::1",
    f"http://{USER}:{QUOTED}@\x1b[2J:9",
    f"postgresql://{USER}:{QUOTED}@127.0.0.1:9/db",
    f"postgresql://127.0.0.1:9/db?user={USER}&password={QUOTED}",
    f"ftp://127.0.0.1:9/db?user={USER}&password={QUOTED}",
    f"mysql+pymysql://{USER}:{QUOTED}@127.0.0.1:9/db",
    f"postgresql+nonsense://{USER}:{QUOTED}@127.0.0.1:9/db",
]


@pytest.mark.parametrize("uri", ABSENT)
def test_a_password_in_an_address_without_a_server(tmp_path: Path, uri: str) -> None:
    """Commands that read connect at once; those that train fail first, or only show their plan."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    for arguments in (
        ("report", "tiny"),
        ("compare", "tiny/0", "tiny/1"),
        ("predict", "tiny", "--test", "1"),
        ("studies",),
        ("ui",),
        ("run-study", "tiny.toml", "--cpu", "--dry-run"),
        ("sync",),
    ):
        for options in (("--tracking-uri", uri), ()):
            if not options:
                os.environ["MLFLOW_TRACKING_URI"] = uri
            try:
                status, output = run_command(tmp_path, *arguments, *options)
            finally:
                os.environ.pop("MLFLOW_TRACKING_URI", None)
            assert status in (1, 2) or arguments[-1] in ("--dry-run", "sync")
            assert find_leaks(output.encode()) == [], output
            assert output.count("\n") == 1 or "--dry-run" in arguments, output
    assert find_leaking_files(tmp_path) == []


def test_a_password_in_an_address_option_is_in_no_folder_name(tmp_path: Path) -> None:
    """Each store has its own folder, named after its address, and after no part of its login."""
    workspace = Workspace(tmp_path)
    uri = f"postgresql+nonsense://127.0.0.1:9/db?user={USER}&password={QUOTED}"
    resolved = workspace.resolve_tracking_uri(uri)
    folders = (
        workspace.journal_folder(resolved),
        workspace.outbox_folder(resolved),
        workspace.report_path("tiny", resolved),
    )
    assert find_leaks("\n".join(map(str, folders)).encode()) == []
    other = workspace.resolve_tracking_uri(uri.replace(QUOTED, "another"))
    assert workspace.journal_folder(other) == folders[0]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_password_for_a_missing_server(tmp_path: Path, fork_server: ForkServer, way: str) -> None:
    """The study is trained, and its outbox does not hold the login."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    uri = f"http://{USER}:{QUOTED}@127.0.0.1:{find_free_port()}"
    if way == "option":
        options = ("run-study", "tiny.toml", "--cpu", "--workers=1", "--tracking-uri", uri)
        status, output = run_without_leaks(fork_server, tmp_path, *options)
    else:
        arguments = ("train", "tiny.toml", "--cpu")
        status, output = run_without_leaks(
            fork_server, tmp_path, *arguments, MLFLOW_TRACKING_URI=uri
        )
    assert status == 75, output
    assert list((tmp_path / "mlruns").rglob("*.spool"))
    assert find_leaking_files(tmp_path) == []


@pytest.mark.slow
def test_a_password_for_a_running_server(
    tmp_path: Path,
    fork_server: ForkServer,
    mlflow_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    (tmp_path / "canary.toml").write_text(STUDY)
    uri = mlflow_server.replace("://", f"://{USER}:{QUOTED}@")
    options = ("--tracking-uri", uri)
    study = ("canary.toml", "--cpu", "--workers=1", *options)
    for arguments in (
        ("run-study", *study),
        ("train", "canary.toml", "--cpu", "--test", *options),
        ("report", "canary", *options),
        ("compare", "canary/0", "canary/1", *options),
        ("predict", "canary", "--test", "2", *options),
        ("studies", *options),
        ("ui", "canary", *options),
        ("doctor", "canary", *options),
        ("report", "no-such", *options),
    ):
        status, output = run_without_leaks(fork_server, tmp_path, *arguments)
        assert status == (2 if "no-such" in arguments else 0), output
    assert find_leaking_files(tmp_path) == []
    servers = [path for path in tmp_path_factory.getbasetemp().glob("server*") if path.is_dir()]
    assert servers
    assert [path for folder in servers for path in find_leaking_files(folder)] == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["password", "token"])
def test_a_login_from_the_environment(
    tmp_path: Path, fork_server: ForkServer, mlflow_process: MlflowServer, way: str
) -> None:
    """Logins of the MLflow server and the database are required, used and not written anywhere."""
    work, folder = tmp_path / "work", tmp_path / "server"
    work.mkdir()
    folder.mkdir()
    name = f"canary-{way}"  # the server has studies of other tests
    (work / f"{name}.toml").write_text(STUDY)
    with ExitStack() as stack:
        if way == "token":
            url = stack.enter_context(Proxy(mlflow_process.port, token="CANARY-token")).url
            login = {"MLFLOW_TRACKING_TOKEN": "CANARY-token"}
        else:
            server = MlflowServer(folder, MLFLOW_ADMIN_PASSWORD=PASSWORD)
            url = stack.enter_context(server).url
            login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        options = ("--tracking-uri", url)
        wrong = {name: f"{value}-no-more" for name, value in login.items()}
        for tried in ({}, wrong):
            status, output = run_without_leaks(fork_server, work, "studies", *options, **tried)
            assert status == 1
            assert "response 401 Unauthorized; set $MLFLOW_TRACKING_USERNAME" in output
        postgres = stack.enter_context(Postgres(PASSWORD))
        login["HARNESS_STORAGE"] = postgres.create_database()
        for arguments in (
            ("run-study", f"{name}.toml", "--cpu", "--workers=1"),
            ("report", name),
            ("studies",),
            ("doctor", name),
            ("ui", name),
        ):
            status, output = run_without_leaks(fork_server, work, *arguments, *options, **login)
            assert status == 0, output
        gone = login["HARNESS_STORAGE"].replace("test_", "no_such_")
        status, output = run_without_leaks(
            fork_server, work, "doctor", name, "--storage", gone, *options, **login
        )
        assert status == 1
        assert "does not exist" in output
        assert find_leaking_files(postgres.data) == []
    assert find_leaking_files(tmp_path) == []
