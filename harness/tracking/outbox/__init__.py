"""Writes to the record, on disk before they are sent: the store may be away, the driver may die.

writes   what is written, as values
file     the file that they stand in, and how far it was sent
sender   the thread that sends them
asking   what is read, from the store itself
tracker  a Tracker in front of it all
"""

from harness.tracking.outbox.queue import SUFFIX
from harness.tracking.outbox.tracker import OutboxTracker

__all__ = ["SUFFIX", "OutboxTracker"]
