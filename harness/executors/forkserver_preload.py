"""Preloaded by the fork server only: imports torch once for all the workers that it forks."""

from __future__ import annotations

from harness.executors.parent_death import end_fork_server_with_driver

end_fork_server_with_driver()

import harness.executors.worker  # noqa: F401, E402
