"""What can go wrong, as a tree.

    HarnessError            exit status 1: the run could not be carried out
    ├── UserError           exit status 2: something the user gave cannot be used
    │   ├── ConfigError     a study file, a --set, an option
    │   ├── DataError       a dataset: not found, cut off, wrong checksum
    │   ├── DeviceError     a device that is not there
    │   └── StudyError      a study: unknown, changed, or driven by somebody else
    ├── Interruption        exit status 130: the user stopped the run; nothing is lost
    ├── StoreError          a record on disk or on a server that cannot be read or written
    │   └── Unavailable     a store that does not answer now; asked again later, it may
    └── Unsent              exit status 75: a part of the record waits on disk for its store

Every message is one line that names the thing, shows the value and says what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class HarnessError(Exception):
    """Base of everything harness raises on purpose; `exit_status` is the command's."""

    exit_status = 1


class UserError(HarnessError):
    exit_status = 2


class ConfigError(UserError):
    """A study file or an option; names the file, the table and the key."""


class DataError(UserError):
    """A dataset that is missing, cut off or not what its checksum says."""


class DeviceError(UserError):
    """A device was demanded that this machine does not have."""


class StudyError(UserError):
    """A study that is unknown, was changed under its name, or has another driver."""


class Interruption(HarnessError):  # noqa: N818 - no error of anybody's
    """The user stopped a run; what was running is closed and queued again."""

    exit_status = 130


class StoreError(HarnessError):
    """A journal, a tracking store or a server that cannot be read or written."""


class Unavailable(StoreError):  # noqa: N818 - it may answer yet
    """A store that does not answer now: a server away, a database locked, a disk full for now."""


class Unsent(HarnessError):  # noqa: N818 - nothing is wrong with what was done
    """The work is done, but its store was away: the record waits in the spool."""

    exit_status = 75  # sysexits.h's EX_TEMPFAIL: try again later


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean 'learning_rate'?` where a known name is near, else the known names."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(names)}" if names else ""


def masked(uri: str) -> str:
    """An address without its user and password, well written or not."""
    if uri.startswith("sqlite:"):  # a path, which may hold an @
        return uri
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, rest = "", uri
    if "@" in rest:
        rest = f"***@{rest.rpartition('@')[2]}"
    return re.sub(r"(?i)([?&][^=&]*password[^=&]*=)[^&]*", r"\1***", f"{scheme}{separator}{rest}")
