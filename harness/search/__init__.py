"""What to train next: one study's Optuna record, under its lock.

journal  the file, its lock, its repair
study    ask, report, tell; retries; what may not change
"""

from harness.search.study import Counts, Search, open_search

__all__ = ["Counts", "Search", "open_search"]
