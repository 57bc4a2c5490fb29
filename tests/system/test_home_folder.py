"""A process without HOME and without an entry for its user, as in a container."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAM = """
import getpass, os, sys, tempfile
from pathlib import Path
from harness.system.home_folder import provide_home
temporary = Path(sys.argv[1])
os.environ.clear()
os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
os.setuid(54321)
provide_home()
home = Path.home()
print(getpass.getuser(), home.name, oct(home.stat().st_mode & 0o777))
assert home.parent == temporary
home.rmdir()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without an entry")
def test_a_user_without_an_entry_gets_a_private_folder_and_a_name() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, folder], capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["54321", "harness-54321", "0o700"]
