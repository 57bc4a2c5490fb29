"""`harness sync`: send what waits in the spools."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.errors import HarnessError, StudyError, Unsent, did_you_mean
from harness.system.signals import interruptible
from harness.workspace import Workspace, private

NOTHING = "nothing waits; its driver died, or is to go on: give the same command again"


def sync(home: Workspace, study: str | None, tracking_uri: str | None) -> None:
    """Send everything that waits for a store, or what `study` left; says what was sent.

    Raises Unsent, after all others were tried, where something is still waiting.
    """
    from harness.tracking.outbox import SUFFIX

    uri = home.tracking_uri(tracking_uri)
    folder, shown = home.spools(uri), home.shown(uri)
    names = sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))
    if study is not None:
        chosen = [name for name in names if name == study or name.startswith(f"{study}-train.")]
        if not chosen:
            _check_known(home, uri, study)
        names = chosen
    if not names:
        print(f"nothing waits for {shown}{_elsewhere(home, folder)}")
        return
    failed: list[HarnessError] = []
    with private(), interruptible() as stop:
        for name in names:
            try:
                sent = home.open_spool(name, tracking_uri, stop=stop).send()
                print(f"{name}: " + (f"{sent} writes sent to {shown}" if sent else NOTHING))
            except HarnessError as error:
                failed.append(error)
    failed.sort(key=lambda error: isinstance(error, Unsent))
    for other in failed[:-1]:
        print(f"harness: {other}", file=sys.stderr)
    if failed:
        raise failed[-1]


def _check_known(home: Workspace, uri: str, study: str) -> None:
    known = home.place(uri).names()
    if study not in known:
        raise StudyError(f"nothing of a study {study!r} waits here{did_you_mean(study, known)}")


def _elsewhere(home: Workspace, folder: Path) -> str:
    """Spools of other stores, which only their own address can send."""
    others = {path.parent for path in (home.root / "spool").rglob("*.spool")} - {folder}
    if not others:
        return ""
    names = ", ".join(sorted(path.name for path in others))
    return f"; something waits for another store ({names}): give its --tracking-uri"
