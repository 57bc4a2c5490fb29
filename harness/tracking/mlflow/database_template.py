"""An empty MLflow database in the user's cache: a copy of it replaces a second of migrations.

The file's name has MLflow's version and the SHA-256 of its content, so that a damaged file or one
of another version is not used. The cache may be missing or read-only: then nothing is kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from mlflow.version import VERSION

from harness.data.cache import user_cache

FOLDER = "mlflow"
PREFIX = f"empty-{VERSION}-"


def read_template() -> bytes | None:
    """Return the content of the template of this version of MLflow, if there is one."""
    with suppress(OSError):
        for path in sorted((user_cache() / FOLDER).glob(f"{PREFIX}*.db")):
            content = path.read_bytes()
            if path.name == _format_name(content):
                return content
    return None


def keep_template(database: Path) -> None:
    """Keep the tables of a new database as the template, without its default experiment.

    That has the path of the database's own folder; MLflow adds it to a copy.
    """
    folder = user_cache() / FOLDER
    with suppress(OSError, sqlite3.Error):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as drafts:
            draft = Path(drafts, "draft.db")
            with closing(sqlite3.connect(database)) as source:
                source.execute("VACUUM INTO ?", (str(draft),))
            with closing(sqlite3.connect(draft)) as copy:
                copy.execute("DELETE FROM experiments")
                copy.commit()
                copy.execute("VACUUM")
            draft.replace(folder / _format_name(draft.read_bytes()))


def _format_name(content: bytes) -> str:
    return f"{PREFIX}{hashlib.sha256(content).hexdigest()[:16]}.db"
