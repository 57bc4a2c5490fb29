"""Pickles refused, files for their owner alone, nothing listening, no password left anywhere."""

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
from tests.data.test_cifar10 import made_up as made_up_cifar
from tests.faults.faulty_proxy import Proxy
from tests.faults.forked_cli import Nursery
from tests.faults.mlflow_server import Server, free_port
from tests.faults.recorded_study import STUDY, champion, command, recorded, refused
from tests.support import tiny_mnist
from tests.support.postgres import Postgres

HARNESS = (sys.executable, "-m", "harness")


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.canary,)


def traps(canary: Path) -> dict[str, bytes]:
    """The same pickle by itself, in NumPy's two formats and in torch's."""
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
    return recorded(tmp_path_factory)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "the pickle was executed"


@contextmanager
def planted(path: Path, content: bytes) -> Iterator[None]:
    """`content` in the place of a file's own, while the block runs."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


@FORMATS
def test_the_trap_works(tmp_path: Path, form: str) -> None:
    """Or the tests below would show nothing."""
    stream = io.BytesIO(traps(tmp_path / "canary")[form])
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
    run_id, _ = champion(folder)
    found = sorted((folder / "mlruns" / "artifacts").rglob(name))
    assert found
    chosen = [path for path in found if run_id in path.parts] or found
    with planted(chosen[0], traps(canary)[form]):
        for arguments in READERS[name]:
            line = refused(folder, *arguments, statuses=(1,))
            assert name in line
            assert not canary.exists()


@FORMATS
def test_a_pickle_as_weights(canary: Path, form: str) -> None:
    with pytest.raises(StoreError, match="cannot be loaded into it"):
        load_model(TrialSpec(), 10, traps(canary)[form])


@FORMATS
def test_a_pickle_as_a_study_file_or_a_database(tmp_path: Path, canary: Path, form: str) -> None:
    work = tmp_path / "work"
    (work / "mlruns").mkdir(parents=True)
    (work / "trap.toml").write_bytes(traps(canary)[form])
    assert "trap.toml" in refused(work, "run-study", "trap.toml")
    database = work / "mlruns" / "mlflow.db"
    database.write_bytes(traps(canary)[form])
    (work / "tiny.toml").write_text(STUDY)
    for arguments in (
        ("report", "tiny"),
        ("compare", "tiny", "other"),
        ("predict", "tiny", "--test=1"),
        ("studies",),
        ("ui",),
        ("run-study", "tiny.toml", "--cpu", "--workers=0"),
    ):
        assert "mlflow.db" in refused(work, *arguments, statuses=(1,))
        assert database.read_bytes() == traps(canary)[form]


@FORMATS
def test_a_pickle_as_a_journal(tmp_path: Path, canary: Path, form: str) -> None:
    """Nothing of it is a record: the journal is empty, and what was in it lies beside."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    journal = tmp_path / "mlruns" / "optuna" / "tiny.journal"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(traps(canary)[form])
    arguments = ("run-study", "tiny.toml", "--cpu", "--workers=0")
    assert "tiny.journal" in refused(tmp_path, *arguments, statuses=(1,))


PARTS = ("training/inputs.npy", "training/labels.npy", "split-*/train.npy",
         "split-*/validation.npy", "meta.json", "split-*/meta.json")  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache-to-spoil")
    prepare(**SPLIT, cache=folder / "harness")  # type: ignore[arg-type]
    return folder


SPLIT = {"name": "digits", "validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}


@pytest.mark.parametrize("part", PARTS)
def test_a_pickle_in_the_cache(
    cache: Path, tmp_path: Path, canary: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    (path,) = cache.glob(f"harness/decoded/digits-*/{part}")
    for content in traps(canary).values():
        with planted(path, content):
            _, output = command(tmp_path, "run-study", "tiny.toml", "--cpu", "--workers=0")
            line = output.splitlines()[-1]
            assert line.startswith("harness: the cached")
            assert str(path if path.suffix == ".npy" else path.parent) in line
            assert not canary.exists()


def test_a_pickle_as_the_cached_test_pictures(folder: Path, canary: Path, isolated: Path) -> None:
    """The answers are shown without them."""
    (path,) = isolated.glob("harness/decoded/digits-*/sealed-test/inputs.npy")
    for content in traps(canary).values():
        with planted(path, content):
            status, output = command(folder, "predict", "tiny", "--test", "1")
            assert status == 0
            assert "cannot be read" in output
            assert not canary.exists()


def test_a_pickle_as_a_dataset(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "data"))
    made_up_cifar(tmp_path / "data", each=20)
    raw = tmp_path / "data" / "MNIST" / "raw"
    batches = tmp_path / "data" / cifar10.FOLDER
    files = [
        *((path, "mnist") for path in raw.iterdir()),
        *((p, "cifar10") for p in batches.iterdir()),
    ]
    for content in traps(canary).values():
        for path, name in files:
            with planted(path, content), pytest.raises(DataError, match=re.escape(path.name)):
                prepare(**SPLIT | {"name": name}, data_dir=tmp_path / "data", cache=tmp_path)  # type: ignore[arg-type]
            assert not canary.exists()


def test_what_torchvision_once_pickled_is_not_read(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checksum covers `processed/*.pt`, which its own classes prefer to the files."""
    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "data"))
    processed = tmp_path / "data" / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(traps(canary)["torch"])
    prepared = prepare(**SPLIT | {"name": "mnist"}, data_dir=tmp_path / "data", cache=tmp_path)  # type: ignore[arg-type]
    assert prepared.sizes["test"] == 100


def private(folder: Path) -> list[str]:
    """What beneath a folder others may read or write, itself included."""
    return [
        f"{oct(path.lstat().st_mode)} {path}"
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077 and not stat.S_ISLNK(path.lstat().st_mode)
    ]


def test_what_a_study_leaves_is_its_owners_alone(folder: Path) -> None:
    """Called from Python, too."""
    assert private(folder / "mlruns") == []


@pytest.mark.slow
def test_every_command_makes_private_files(tmp_path: Path, nursery: Nursery) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    for arguments in (
        "run-study tiny.toml --cpu --workers=2",
        "train tiny.toml --cpu --test",
        "report tiny",
        "compare tiny/0 tiny/1",
        "predict tiny --test 2",
        "studies",
    ):
        done = nursery.run(tmp_path, arguments.split(), UMASK="000")
        assert done.status == 0, done.err
        assert private(tmp_path / "mlruns") == [], arguments


def family(pid: int) -> set[int]:
    """A process and all that it started, as far as they live."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    found = {pid}
    while more := {each for each, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pids: set[int]) -> set[str]:
    """The addresses that some processes listen on, or take datagrams at, as /proc has them."""
    inodes = set()
    for pid in pids:
        try:
            for each in Path(f"/proc/{pid}/fd").iterdir():
                inodes.add(str(each.readlink()).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    found = set()
    for name, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


LOCAL = "0100007F"
"""127.0.0.1, as the kernel writes it."""


def test_listening_is_seen() -> None:
    with socket.socket() as here, socket.socket() as everywhere:
        here.bind(("127.0.0.1", 0))
        assert listening({os.getpid()}) == set()
        here.listen()
        assert listening({os.getpid()}) == {LOCAL}
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        assert listening({os.getpid()}) == {LOCAL, "00000000"}


@pytest.mark.slow
def test_a_study_listens_nowhere(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    arguments = ("run-study", "tiny.toml", "--cpu", "--workers=2", "--set", "train.epochs=20")
    with subprocess.Popen(
        [*HARNESS, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        most = 0
        while process.poll() is None:
            pids = family(process.pid)
            most = max(most, len(pids))
            assert listening(pids) == set()
            time.sleep(0.05)
    assert process.returncode == 0
    assert most >= 3  # the driver and two workers


@contextmanager
def serving(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[int, str]]:
    """`harness ui`: its process and the address that it prints."""
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
def test_the_ui_is_quiet_private_and_here_alone(folder: Path) -> None:
    """Whatever the user's own environment says."""
    loud = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true", "MLFLOW_DISABLE_TELEMETRY": "false"}
    with serving(folder, environment=loud) as (pid, address):
        assert address.startswith("http://127.0.0.1:")
        assert listening(family(pid)) == {LOCAL}
        servers = family(pid) - {pid}
        assert servers
        for server in servers:
            content = Path(f"/proc/{server}/environ").read_bytes().decode().split("\0")
            told = dict(entry.partition("=")[::2] for entry in content if entry)
            assert told["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
            assert told["MLFLOW_DISABLE_TELEMETRY"] == "true"
            assert "\nUmask:\t0077\n" in Path(f"/proc/{server}/status").read_text()
            assert b"mlflow.db" not in Path(f"/proc/{server}/cmdline").read_bytes()
    assert family(pid) == {pid}
    assert private(folder / "mlruns") == []


USER, PASSWORD = "somebody", "CANARY@s/cr:t%"
QUOTED = "CANARY%40s%2Fcr%3At%25"
SECRETS = [
    b"CANARY",
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).rstrip(b"="),
    base64.b64encode(PASSWORD.encode()).rstrip(b"="),
]


def leaks(content: bytes) -> list[bytes]:
    found = [secret for secret in SECRETS if secret in content]
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found += [each for name in archive.namelist() for each in leaks(archive.read(name))]
    if content[:2] == b"\x1f\x8b":
        found += leaks(gzip.decompress(content))
    return found


def leaking(folder: Path) -> list[str]:
    """Files whose name or content has the password in it."""
    return [
        str(path)
        for path in folder.rglob("*")
        if leaks(path.name.encode()) or (path.is_file() and leaks(path.read_bytes()))
    ]


def test_leaks_are_seen(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", f"x{QUOTED}")
    (tmp_path / "plain").write_bytes(b"-" + SECRETS[1])
    (tmp_path / "innocent").write_text(hashlib.sha256(b"").hexdigest())
    assert sorted(Path(path).name for path in leaking(tmp_path)) == ["plain", "zip"]


def silent(nursery: Nursery, folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The status and output of a command in its own process, which told no password."""
    done = nursery.run(folder, arguments, **environment)
    output = done.out + done.err
    assert leaks(output.encode()) == [], output[:3000]
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
def test_a_password_in_an_address_of_nobody(tmp_path: Path, uri: str) -> None:
    """What reads asks at once; what would train is refused or shown before it does."""
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
        for given in (("--tracking-uri", uri), ()):
            if not given:
                os.environ["MLFLOW_TRACKING_URI"] = uri
            try:
                status, output = command(tmp_path, *arguments, *given)
            finally:
                os.environ.pop("MLFLOW_TRACKING_URI", None)
            assert status in (1, 2) or arguments[-1] in ("--dry-run", "sync")
            assert leaks(output.encode()) == [], output
            assert output.count("\n") == 1 or "--dry-run" in arguments, output
    assert leaking(tmp_path) == []


def test_a_password_among_an_addresss_options_names_no_folder(tmp_path: Path) -> None:
    """Each store has its own, named after it."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    uri = f"postgresql+nonsense://127.0.0.1:9/db?user={USER}&password={QUOTED}"
    study = ("run-study", "tiny.toml", "--cpu", "--workers=0", "--tracking-uri", uri)
    status, output = command(tmp_path, *study)
    assert status == 75  # nobody answers there: it waits
    assert leaks(output.encode()) == [], output
    assert len(list((tmp_path / "mlruns" / "optuna").iterdir())) == 1
    assert leaking(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_password_with_nobody_there(tmp_path: Path, nursery: Nursery, way: str) -> None:
    """The study is trained; what waits for its store does not say how to log in there."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    uri = f"http://{USER}:{QUOTED}@127.0.0.1:{free_port()}"
    if way == "option":
        given = ("run-study", "tiny.toml", "--cpu", "--workers=1", "--tracking-uri", uri)
        status, output = silent(nursery, tmp_path, *given)
    else:
        arguments = ("train", "tiny.toml", "--cpu")
        status, output = silent(nursery, tmp_path, *arguments, MLFLOW_TRACKING_URI=uri)
    assert status == 75, output
    assert list((tmp_path / "mlruns").rglob("*.spool"))
    assert leaking(tmp_path) == []


@pytest.mark.slow
def test_a_password_with_a_server_there(
    tmp_path: Path,
    nursery: Nursery,
    mlflow_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    (tmp_path / "canary.toml").write_text(STUDY)
    uri = mlflow_server.replace("://", f"://{USER}:{QUOTED}@")
    given = ("--tracking-uri", uri)
    study = ("canary.toml", "--cpu", "--workers=1", *given)
    for arguments in (
        ("run-study", *study),
        ("train", "canary.toml", "--cpu", "--test", *given),
        ("report", "canary", *given),
        ("compare", "canary/0", "canary/1", *given),
        ("predict", "canary", "--test", "2", *given),
        ("studies", *given),
        ("ui", "canary", *given),
        ("doctor", "canary", *given),
        ("report", "no-such", *given),
    ):
        status, output = silent(nursery, tmp_path, *arguments)
        assert status == (2 if "no-such" in arguments else 0), output
    assert leaking(tmp_path) == []
    servers = [path for path in tmp_path_factory.getbasetemp().glob("server*") if path.is_dir()]
    assert servers
    assert [path for folder in servers for path in leaking(folder)] == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["password", "token"])
def test_a_login_from_the_environment(
    tmp_path: Path, nursery: Nursery, mlflow_process: Server, way: str
) -> None:
    """Of MLflow's server and of the database: asked for, used, written nowhere."""
    work, folder = tmp_path / "work", tmp_path / "server"
    work.mkdir()
    folder.mkdir()
    (work / "canary.toml").write_text(STUDY)
    with ExitStack() as stack:
        if way == "token":
            url = stack.enter_context(Proxy(mlflow_process.port, token="CANARY-token")).url
            login = {"MLFLOW_TRACKING_TOKEN": "CANARY-token"}
        else:
            server = Server(folder, MLFLOW_ADMIN_PASSWORD=PASSWORD)
            url = stack.enter_context(server).url
            login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        given = ("--tracking-uri", url)
        wrong = {name: f"{value}-no-more" for name, value in login.items()}
        for tried in ({}, wrong):
            status, output = silent(nursery, work, "studies", *given, **tried)
            assert status == 1
            assert "response 401 Unauthorized; set $MLFLOW_TRACKING_USERNAME" in output
        postgres = stack.enter_context(Postgres(PASSWORD))
        login["HARNESS_STORAGE"] = postgres.database()
        for arguments in (
            ("run-study", "canary.toml", "--cpu", "--workers=1"),
            ("report", "canary"),
            ("studies",),
            ("doctor", "canary"),
            ("ui", "canary"),
        ):
            status, output = silent(nursery, work, *arguments, *given, **login)
            assert status == 0, output
        gone = login["HARNESS_STORAGE"].replace("test_", "no_such_")
        status, output = silent(
            nursery, work, "doctor", "canary", "--storage", gone, *given, **login
        )
        assert status == 1
        assert "does not exist" in output
        assert leaking(postgres.data) == []
    assert leaking(tmp_path) == []
