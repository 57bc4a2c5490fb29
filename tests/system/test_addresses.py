"""One form for every spelling of an address; a path as an address, and back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import urllib.parse
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.search.storage.journal import JournalFolder
from harness.system import addresses
from harness.workspace import Workspace

SPELLINGS = {
    "slash": ("http://127.0.0.1:5000", "http://127.0.0.1:5000/", "http://127.0.0.1:5000//"),
    "local": ("http://localhost:5000", "http://127.0.0.1:5000", "http://[::1]:5000"),
    "case": ("http://Box.Example:5000/Path", "HTTP://box.example.:5000/Path/"),
    "port": ("https://box", "https://box:443", "https://ann:secret@BOX:443/"),
    "quoting": ("http://box/a~b%2f", "http://box/a%7Eb%2F", "http://box/a%7eb%2F/"),
    "letters": ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
    "IPv6": ("http://[::A]:1", "http://[0:0::a]:1"),
    "database": (
        "postgresql://box/runs",
        "PostgreSQL+psycopg2://ann:secret@BOX:5432/runs?sslmode=require",
    ),
    "file": (
        "sqlite:///other.db",
        "SQLite:///./other.db",
        "sqlite:///mlruns/../other.db",
        "sqlite:///{folder}/other.db",
        "sqlite+pysqlite:///{folder}/other.db",
        "sqlite:///{link}/other.db",
        "sqlite:///o%74her.db",
    ),
    "this folder's": ("sqlite:///mlruns/mlflow.db", "sqlite:///{link}/mlruns/mlflow.db"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is also `<tmp>/link`."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    return folder


def resolve(spelling: str, folder: Path) -> str:
    link = folder.with_name("link")
    return Workspace(Path("mlruns")).resolve_tracking_uri(
        spelling.format(folder=folder, link=link) if "sqlite" in spelling.lower() else spelling
    )


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_store_has_one_folder_however_it_is_spelled(name: str, folder: Path) -> None:
    workspace, uris = Workspace(Path("mlruns")), [resolve(each, folder) for each in SPELLINGS[name]]
    for places in (
        {workspace.journal_folder(uri) for uri in uris},
        {workspace.outbox_folder(uri) for uri in uris},
        {workspace.report_path("tiny", uri) for uri in uris},
    ):
        assert len(places) == 1, places
    assert (workspace.outbox_folder(uris[0]) == Path("mlruns/spool")) == (name == "this folder's")


HOSTS = ["box", "box.example", "127.0.0.1", "10.0.0.7", "[::1]", "[fe80::a]"]
PATHS = st.lists(st.text("abz09-._~ é%/@:", min_size=1, max_size=6), max_size=3)


@given(
    scheme=st.sampled_from(["http", "https", "postgresql"]),
    host=st.sampled_from(HOSTS),
    port=st.none() | st.integers(1, 65535),
    parts=PATHS,
    data=st.data(),
)
@settings(deadline=None)
def test_a_network_address_is_one_store_in_any_spelling(
    scheme: str, host: str, port: int | None, parts: list[str], data: st.DataObject
) -> None:
    """RFC 3986, section 6.2: case, quoting, the default port, a last slash; the user, a driver."""

    def quote(letter: str) -> str:
        if letter in ":@":
            return letter  # quoted, it means something else
        digits = data.draw(st.sampled_from(["%{:02x}", "%{:02X}"]), "digits")
        quoted = "".join(map(digits.format, letter.encode()))
        return quoted if letter in "%/" or data.draw(st.booleans(), "quote") else letter

    def spell() -> str:
        upper = data.draw(st.booleans(), "upper")
        known = "+psycopg2" if scheme == "postgresql" and data.draw(st.booleans(), "driver") else ""
        user = data.draw(st.sampled_from(["", "ann@", "ann:secret@"]), "user")
        place = host.upper() if upper else host
        shown = f":{port}" if port is not None else ""
        if port is None and data.draw(st.booleans(), "default port"):
            shown = f":{addresses.DEFAULT_PORTS[scheme]}"
        path = "".join(f"/{''.join(map(quote, part))}" for part in parts)
        slash = "/" if scheme != "postgresql" and data.draw(st.booleans(), "slash") else ""
        return f"{scheme.upper() if upper else scheme}{known}://{user}{place}{shown}{path}{slash}"

    one, other = (addresses.normalize_tracking_uri(spell()) for _ in range(2))
    assert addresses.identify_store(one) == addresses.identify_store(other)
    assert addresses.normalize_tracking_uri(one) == one, "the usual spelling has itself"
    different = one.replace("://", "://other.", 1) if "@" not in one else one.replace("@", "@o.", 1)
    if not host.startswith("[") and "127" not in host:
        assert addresses.identify_store(different) != addresses.identify_store(one)


def test_two_stores_have_two_folders(folder: Path) -> None:
    uris = [
        *("http://box/a/b", "http://box/a_b", "https://box/a_b", "http://box_a/b", "http://box:1"),
        *("http://box:2", "postgresql://box/a_b", "mysql://box/a_b", "sqlite:///box/a_b"),
        *(f"http://box/{'a' * 100}{letter}" for letter in "bc"),
        *("postgresql:///runs?host=/tmp/a", "postgresql:///runs?host=/tmp/b"),
    ]
    workspace = Workspace(Path("mlruns"))
    folders = {workspace.outbox_folder(workspace.resolve_tracking_uri(uri)) for uri in uris}
    assert len(folders) == len(uris)
    assert all(len(each.name) < 80 for each in folders)


@pytest.mark.parametrize(
    ("older", "uri"),
    [
        ("127.0.0.1_5000", "http://localhost:5000/"),
        ("localhost_5000_", "http://127.0.0.1:5000"),
        ("Box.Example_80", "http://box.example"),
        ("box_5432_runs", "postgresql://ann@box/runs"),
        ("_mlruns_mlflow.db", None),
        ("_other.db", "sqlite:///{folder}/other.db"),
        ("_{folder}_other.db", "sqlite:///other.db"),
    ],
)
def test_a_study_of_an_older_spelling_is_continued(
    older: str, uri: str | None, folder: Path
) -> None:
    workspace = Workspace(Path("mlruns"))
    name = older.format(folder=str(folder).replace("/", "_"))[:100]
    address = resolve(uri, folder) if uri else workspace.local_uri
    journal, spool = Path("mlruns/optuna", name), Path("mlruns/spool", name)
    for place, file in ((journal, "tiny.journal"), (spool, "tiny.spool")):
        place.mkdir(parents=True)
        (place / file).touch()
    storage = workspace.study_storage(address)
    assert isinstance(storage, JournalFolder)
    assert storage.list_studies() == ["tiny"]
    assert storage.journal_path("tiny") == journal / "tiny.journal"
    assert storage.journal_path("new").parent == workspace.journal_folder(address) != journal
    assert workspace.outbox_folder(address, "tiny.spool") == spool
    assert workspace.outbox_folder(address, "new.spool") != spool


def test_the_folder_of_a_file_is_the_same_after_a_move(folder: Path) -> None:
    def find_folder() -> Path:
        workspace = Workspace(Path("mlruns"))
        return workspace.outbox_folder(workspace.resolve_tracking_uri("sqlite:///other.db"))

    before = find_folder()
    moved = folder.rename(folder.with_name("there"))
    os.chdir(moved)
    assert find_folder() == before


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///what?/mlflow.db", "write a \\? in a path as %3F"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///a%00b", "names no file"),
        ("http://", "not a tracking address"),
        ("http://box:0", "not a tracking address"),
        ("http://box:99999", "not a tracking address"),
        ("file:///tmp", "not a tracking address"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        addresses.normalize_tracking_uri(uri)


def test_an_optuna_storage_has_one_spelling() -> None:
    spellings = ("postgresql", "postgres", "PostgreSQL", "postgresql+psycopg")
    urls = {addresses.normalize_storage_uri(f"{each}://ann@box/runs") for each in spellings}
    assert urls == {"postgresql://ann@box/runs"}
    assert addresses.normalize_storage_uri("mysql://box/runs") == "mysql://box/runs"


NAMES = st.text(
    st.one_of(
        st.sampled_from("?#%&=+ '\":;~-\\\n\té漢"),
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=200,
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 200)


@given(name=NAMES, steps=st.lists(st.sampled_from(["./", "x/../", "/", "link"]), max_size=4))
@settings(deadline=None)
def test_a_database_is_one_store_in_any_spelling(name: str, steps: list[str]) -> None:
    """Relative or absolute, quoted or not, by a link or by a detour."""
    with tempfile.TemporaryDirectory() as parent:
        root = Path(parent).resolve() / name
        (root / "x").mkdir(parents=True)
        (Path(parent) / "other").symlink_to(root)
        expected = addresses.format_sqlite_uri(root / "mlflow.db")
        detour = "".join(step for step in steps if step != "link")
        folder = f"{parent}/other" if "link" in steps else urllib.parse.quote(str(root))
        driver = "+pysqlite" if len(steps) % 2 else ""
        uri = f"sqlite{driver}:///{folder}/{detour}mlflow.db"
        with contextlib.chdir(root):
            spellings = [uri, f"sqlite:///{detour.lstrip('/')}mlflow.db"]
            assert {addresses.normalize_tracking_uri(each) for each in spellings} == {expected}
        assert addresses.normalize_tracking_uri(expected[:2000]) == expected


@given(NAMES)
@settings(max_examples=200, deadline=None)
def test_a_path_becomes_an_address_and_back(name: str) -> None:
    with tempfile.TemporaryDirectory() as parent:
        root = Path(parent).resolve() / name
        root.mkdir()
        file = root / "mlflow.db"
        uri = addresses.format_sqlite_uri(file)
        assert uri.isprintable()
        assert addresses.parse_sqlite_path(uri) == file
        assert Workspace(root).resolve_tracking_uri(uri[:2000]) == Workspace(root).local_uri
        for address in (uri, addresses.format_read_only_sqlite_uri(file)):
            assert addresses.describe_store(address) == f"sqlite:///{file}"
            engine = sqlalchemy.create_engine(address)
            with engine.connect() as connection:
                if address == uri:
                    connection.execute(sqlalchemy.text("CREATE TABLE one (two)"))
                assert sqlalchemy.inspect(connection).get_table_names() == ["one"]
            engine.dispose()
        with closing(sqlite3.connect(addresses.format_read_only_uri(file), uri=True)) as database:
            assert database.execute("SELECT * FROM one").fetchall() == []
        assert [path.name for path in Path(parent).rglob("*")] == [name, "mlflow.db"]


def test_a_path_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'/tmp/\\udcff' is not valid UTF-8; rename the folder"):
        addresses.format_sqlite_uri(Path(os.fsdecode(b"/tmp/\xff")))
