"""What to train next: one study's Optuna record, under its lock.

journal  the file, its lock, its repair
study    ask, report, tell; retries; what may not change
"""

from harness.search.study import Search, open_search

__all__ = ["Search", "open_search"]
