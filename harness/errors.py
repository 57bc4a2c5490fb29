"""The exceptions that harness raises, and the exit status of each.

    HarnessError            exit status 1: the command failed
    ├── UserError           exit status 2: an input cannot be used
    │   ├── ConfigError     a study file, a --set, an option
    │   ├── DataError       a dataset: not found, truncated, wrong checksum
    │   ├── DeviceError     a device that this machine does not have
    │   └── StudyError      a study: unknown, changed, or run by another driver
    ├── Interruption        exit status 130: the user stopped the command; nothing is lost
    ├── StoreError          a record on disk or on a server that cannot be read or written
    │   ├── Unavailable     a store that does not answer now, but may answer a retry
    │   └── Refused         a write that the store can never take, because of its content
    └── Unsent              exit status 75: a part of the record waits on disk for its store

Every message is one line: what is wrong, the value, and what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Set

MAX_NAMES, SIMILAR_NAMES = 30, 4
"""How many known names an error lists: the first ones, or the most similar ones."""

LIST_STUDIES = "harness studies"
"""The command that lists all studies."""


class HarnessError(Exception):
    """Base class of all errors that harness raises on purpose."""

    exit_status = 1
    """Exit status of the command that ends with this error."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows instead of the traceback: one line, which says what to do."""
        return [f"{type(self).__name__}: {self}"]


class UserError(HarnessError):
    """An input cannot be used: the user has to change it."""

    exit_status = 2


class ConfigError(UserError):
    """A study file or an option is wrong; the message names the file, the table and the key."""


class DataError(UserError):
    """A dataset is missing, truncated, or does not match its checksum."""


class DeviceError(UserError):
    """The requested device does not exist on this machine."""


class StudyError(UserError):
    """A study is unknown, was changed under its name, or is run by another driver."""


class Interruption(HarnessError):  # noqa: N818 - nobody made an error
    """The user stopped the command; interrupted trials are queued for a retry."""

    exit_status = 130
    command = ""
    """The command that continues; empty if nothing is to be continued."""


class StoreError(HarnessError):
    """A journal, a tracking store or a server cannot be read or written."""


class Unavailable(StoreError):  # noqa: N818 - a state, not an error
    """A store does not answer now, but may later: server down, database locked, disk full."""


class Refused(StoreError):  # noqa: N818 - a state, not an error
    """A store refused a write because of its content: a retry cannot succeed."""


class Unsent(HarnessError):  # noqa: N818 - the work itself succeeded
    """The work is done, but its store was unavailable: the record waits in the outbox."""

    exit_status = 75  # sysexits.h's EX_TEMPFAIL: try again later


def did_you_mean(name: str, known: Iterable[str], command: str = "") -> str:
    """`; did you mean 'learning_rate'?` if a known name is similar, else the known names.

    They are in the order of `known`; a set is sorted. Of many, the first are listed, or with the
    `command` that lists them all, the most similar ones.
    """
    names = sorted(known) if isinstance(known, Set) else list(known)
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if matches:
        return f"; did you mean '{matches[0]}'?"
    if not names:
        return ""
    if not command or len(names) <= SIMILAR_NAMES:
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        return f"; known: {', '.join(names[:MAX_NAMES])}{more}"
    similar = difflib.get_close_matches(name, names, n=SIMILAR_NAMES, cutoff=0.0)
    more = f"and {len(names) - SIMILAR_NAMES} more, see: {command}"
    return f"; known: {', '.join(similar)} {more}"


def mask_credentials(uri: str) -> str:
    """Replace user name and password in an address, even in a malformed one."""
    if uri.startswith("sqlite:"):  # a path, which may hold an @
        return uri
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, rest = "", uri
    if "@" in rest:
        rest = f"***@{rest.rpartition('@')[2]}"
    return re.sub(r"(?i)([?&][^=&]*password[^=&]*=)[^&]*", r"\1***", f"{scheme}{separator}{rest}")
