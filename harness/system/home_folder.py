"""A home folder and a user name for a process that has none, as in a container with any user id."""

from __future__ import annotations

import getpass
import os
import tempfile
from pathlib import Path

from harness.errors import StoreError


def provide_home() -> None:
    """Set HOME and USER if they cannot be determined: torch, MLflow and Ray need both.

    The folder is private, and the same for every process of this user id. Raises StoreError if
    another user has created it.
    """
    try:
        Path.home()
    except RuntimeError:
        folder = Path(tempfile.gettempdir()) / f"harness-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise StoreError(f"{folder} belongs to another user; set HOME to a folder") from None
        os.environ["HOME"] = str(folder)
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())
