"""Refuse, before anything is written, a study that may not use its name in the tracking store.

Another study may have the name. `Tracker.open_study` refuses that too, but by then the study has an
Optuna record, and --fresh has set the older record aside.

Or the folder is a copy of another one that has the same study, and each would add its own trials to
it. The store has the folder and the host of the last driver. It is a copy if that is another folder
of this host that exists and has the study; the folder of the last driver may continue. A folder
that was moved continues silently, because the old one is gone. On another host nobody can look: if
the study is recorded as running there, a message names it. An unavailable store is not asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from harness.data.prepare import PreparedDataset
from harness.errors import HarnessError, StudyError, Unavailable
from harness.search.open_study import read_uid
from harness.sweep.environment import collect_origin
from harness.sweep.plan import Plan
from harness.system.addresses import parse_sqlite_path
from harness.tracking.mlflow.name_holders import may_hold_name
from harness.tracking.name_holder import NameHolder
from harness.workspace import Workspace

TIMEOUT = 5.0
"""Seconds to wait for the store, which may be unavailable for the whole study."""


def check_name(
    plan: Plan, prepared: PreparedDataset, fresh: bool, notify: Callable[[str], None]
) -> None:
    """Check that the study may write to the tracking store. Raises StudyError."""
    name, uri, workspace = plan.config.study.name, plan.resolved_tracking_uri, plan.workspace
    exists = plan.storage.has_study(name)
    continued, is_shared = exists and not fresh, exists and may_be_copy(workspace, uri)
    path = parse_sqlite_path(uri)
    if (continued and not is_shared) or (path is not None and not may_hold_name(path, name)):
        return
    uid = read_uid(plan.storage, name) if exists else ""
    if continued and not uid:
        return  # the record is damaged, which is reported when it is opened
    record = plan.build_record(
        prepared,
        "" if fresh else uid,
        continued=continued,
        set_aside="older" if fresh else None,
        set_aside_uid=uid if fresh else "",
    )
    connect = workspace.tracker_factory(uri, reading=True)
    errors, holders = list[HarnessError](), list[NameHolder]()

    def check() -> None:
        try:
            holders.append(connect().check_name(record))
        except HarnessError as error:
            errors.append(error)

    thread = threading.Thread(target=check, name="check-name", daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if errors and not isinstance(errors[0], Unavailable):
        raise errors[0]
    if is_shared and holders and uid in holders[0].uids:
        _check_copy(workspace, name, uid, uri, holders[0], notify)


def _check_copy(
    workspace: Workspace,
    name: str,
    uid: str,
    uri: str,
    holder: NameHolder,
    notify: Callable[[str], None],
) -> None:
    """Raise StudyError if another folder of this host ran the study last, and still has it."""
    here, origin = collect_origin(workspace.root), holder.origin
    folder = origin.get("folder", "")
    if origin.get("host") == here["host"]:
        if has_copy(workspace, name, uid, uri, origin):
            raise StudyError(
                f"study '{name}' was last run in {folder}, which still has it, and this folder "
                f"has a copy: both would add trials to one study in {workspace.format_uri(uri)}. "
                "Continue it there; to continue it here, remove that folder; for another study, "
                f"choose a new name (--set study.name={name}-2)"
            )
    elif holder.is_running and origin:
        notify(
            f"study '{name}' is recorded as running on host {origin.get('host')}, in {folder}; if "
            "it still runs there, stop one of the two: both add trials to one study"
        )


def may_be_copy(workspace: Workspace, uri: str) -> bool:
    """Whether a copied folder has an Optuna record of its own, but the same tracking store."""
    return uri != workspace.local_uri and workspace.storage is None


def has_copy(
    workspace: Workspace, name: str, uid: str, uri: str, origin: Mapping[str, str]
) -> bool:
    """Whether the folder of a study's last driver is another folder of this host that has it."""
    here, folder = collect_origin(workspace.root), Path(origin.get("folder") or workspace.root)
    if origin.get("host") != here["host"] or not may_be_copy(workspace, uri):
        return False
    with suppress(OSError):  # it does not exist, or may not be read
        if folder.samefile(workspace.root):
            return False
        studies = Workspace(folder).study_storage(uri)
        return studies.has_study(name) and read_uid(studies, name) == uid
    return False
