"""Refuse a study's name that another study has in the tracking store, before anything is written.

`Tracker.open_study` refuses it too. By then the study has an Optuna record, and --fresh has set the
older record aside.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

from harness.data.prepare import PreparedDataset
from harness.errors import HarnessError, Unavailable
from harness.search.open_study import read_uid
from harness.sweep.plan import Plan
from harness.system.addresses import format_read_only_uri, parse_sqlite_path

TIMEOUT = 5.0
"""Seconds to wait for the store, which may be unavailable for the whole study."""


def check_name(plan: Plan, prepared: PreparedDataset, fresh: bool) -> None:
    """Check that the study may create its record in the tracking store. Raises StudyError."""
    name, uri = plan.config.study.name, plan.resolved_tracking_uri
    exists = plan.storage.has_study(name)
    if (exists and not fresh) or not _may_be_taken(uri, name):
        return
    older = read_uid(plan.storage, name) if exists else ""
    suffix = "older" if fresh else None
    record = plan.build_record(prepared, "", set_aside=suffix, set_aside_uid=older)
    connect = plan.workspace.tracker_factory(uri, reading=True)
    errors: list[HarnessError] = []

    def check() -> None:
        try:
            connect().check_name(record)
        except HarnessError as error:
            errors.append(error)

    thread = threading.Thread(target=check, name="check-name", daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if errors and not isinstance(errors[0], Unavailable):
        raise errors[0]


def _may_be_taken(uri: str, name: str) -> bool:
    """Whether the store may have an experiment of that name.

    In a local database this is answered without mlflow, whose import takes 3 s.
    """
    path = parse_sqlite_path(uri)
    if path is None:
        return True
    if not path.is_file():
        return False
    query = (
        "SELECT 1 FROM experiments WHERE name = ?1 "
        "UNION SELECT 1 FROM registered_models WHERE name = ?1"
    )
    try:
        with closing(sqlite3.connect(format_read_only_uri(path), uri=True)) as database:
            return database.execute(query, (name,)).fetchone() is not None
    except sqlite3.Error:
        return True
