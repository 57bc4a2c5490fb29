"""Writes to the tracking store that are on disk before they are sent.

The store may be unreachable for the whole study, and the driver may be killed: nothing is lost.

messages  what is written, as values that go to disk as JSON
queue     the outbox file: the writes, and how many of them were sent
refused   the file of writes that the store did not take
restoring move these writes back into the outbox
sender    the thread that sends them
reads     reads, which go to the store itself
writes    writes, which go to the outbox
tracker   the Tracker in front of all of these
"""

from harness.tracking.outbox.queue import SUFFIX
from harness.tracking.outbox.refused import RefusedWrites, list_refused_files, read_refused
from harness.tracking.outbox.tracker import OutboxTracker

__all__ = ["SUFFIX", "OutboxTracker", "RefusedWrites", "list_refused_files", "read_refused"]
