"""What the fork server imports, and nobody else: torch, once for all the workers that it forks."""

from __future__ import annotations

from harness.executors.parent_death import tie_fork_server

tie_fork_server()

import harness.executors.worker  # noqa: F401, E402
