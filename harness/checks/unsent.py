"""What an outbox file still has to send, read without opening it as a driver does."""

from __future__ import annotations

import re
from pathlib import Path

from harness.checks.journal_reader import read_journal
from harness.tracking.outbox import SUFFIX
from harness.tracking.outbox.messages import StartTrial, from_json
from harness.tracking.outbox.queue import HEADER_SIZE
from harness.workspace import Workspace

CHECKSUM_SIZE = 9
"""The characters before each write's JSON."""


def count_unsent(path: Path) -> int:
    """Count the unsent writes of an outbox file; a damaged file counts as one."""
    if not path.is_file():
        return 0
    content = path.read_bytes()
    sent = _find_sent(content)
    return len(content) > 0 if sent is None else content[sent:].count(b"\n")


def has_sent_nothing(workspace: Workspace, name: str, uri: str) -> bool:
    """Whether a study has its whole record in its outbox, because its driver died early.

    That is so if nothing of the outbox was sent, and it has the start of each trial of the journal:
    an outbox of a study that was continued has the later trials alone.
    """
    journal = read_journal(workspace.study_storage(uri), name)
    path = workspace.outbox_folder(uri, f"{name}{SUFFIX}") / f"{name}{SUFFIX}"
    content = path.read_bytes() if path.is_file() else b""
    if journal is None or (content and _find_sent(content) != HEADER_SIZE):
        return False
    started: set[str] = set()
    try:
        for line in content[HEADER_SIZE:].splitlines(keepends=True):
            write = from_json(line[CHECKSUM_SIZE:]) if line.endswith(b"\n") else None
            if isinstance(write, StartTrial):
                started.add(write.trial.uid)
    except (ValueError, KeyError, TypeError):
        return False
    begun = (each for each in journal.trials if journal.get_state(each) is not None)
    return started.issuperset(journal.trial_uid(each.number) for each in begun)


def _find_sent(content: bytes) -> int | None:
    """Return the byte up to which an outbox was sent; None for a damaged header."""
    match = re.match(rb"harness-spool \d+ \w+ +(\d+)\n", content)
    return int(match[1]) if match else None
