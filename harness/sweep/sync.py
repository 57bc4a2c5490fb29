"""`harness sync`: send the outboxes to the tracking store."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.analysis.formatting import format_count
from harness.errors import (
    LIST_STUDIES,
    HarnessError,
    Refused,
    StoreError,
    StudyError,
    Unsent,
    did_you_mean,
)
from harness.sweep.process_state import use_process
from harness.workspace import Workspace

NOTHING_TO_SEND = "nothing to send; the study did not finish, rerun the same command"


def send_outboxes(
    workspace: Workspace, study: str | None, tracking_uri: str | None, refused: bool = False
) -> None:
    """Send the outboxes of all studies, or of one, and print what was sent.

    With `refused`, the writes that the store refused are sent again, once.

    Raises Unsent, after all were tried, if any could not be sent, and StoreError if the store
    refused any.
    """
    from harness.tracking.outbox import SUFFIX, list_refused_files

    uri = workspace.resolve_tracking_uri(tracking_uri)
    folders, store = workspace.list_outbox_folders(uri), workspace.format_uri(uri)
    paths = [path for folder in folders for path in folder.glob(f"*{SUFFIX}")]
    if refused:
        paths = [path for folder in folders for path in list_refused_files(folder / f"*{SUFFIX}")]
    names = sorted({path.name.rpartition(SUFFIX)[0] for path in paths})
    if study is not None:
        names = [name for name in names if name == study or name.startswith(f"{study}-train.")]
        if not names:
            _check_study_exists(workspace, uri, study)
    if not names:
        print(f"nothing to send to {store}{_format_other_stores(workspace, folders)}")
        return
    failed: list[HarnessError] = []
    with use_process() as stop:
        for name in names:
            outbox = None
            try:
                outbox = workspace.open_outbox(name, tracking_uri, stop=stop)
                sent = outbox.send(refused=refused)
                if sent or outbox.refused is None:
                    done = f"{format_count(sent, 'write')} sent to {store}"
                    print(f"{name}: {done if sent else NOTHING_TO_SEND}")
            except (Refused, StudyError) as error:
                if outbox is None or outbox.refused is None:
                    failed.append(error)
                    continue
                # Otherwise it is reported with the other refused writes.
            except HarnessError as error:
                failed.append(error)
                continue
            if outbox.refused is not None:
                failed.append(StoreError(f"{name}: {outbox.refused}"))
    failed.sort(key=lambda error: isinstance(error, Unsent))
    for other in failed[:-1]:
        print(f"harness: {other}", file=sys.stderr)
    if failed:
        raise failed[-1]


def _check_study_exists(workspace: Workspace, uri: str, study: str) -> None:
    names = workspace.study_storage(uri).list_studies()
    if study not in names:
        raise StudyError(f"no study {study!r} to send{did_you_mean(study, names, LIST_STUDIES)}")


def _format_other_stores(workspace: Workspace, folders: list[Path]) -> str:
    """Name the other stores with an outbox: each is sent with its own --tracking-uri."""
    others = {path.parent for path in (workspace.root / "spool").rglob("*.spool")} - set(folders)
    if not others:
        return ""
    names = ", ".join(sorted(path.name for path in others))
    return f"; other stores have writes to send ({names}): give their --tracking-uri"
