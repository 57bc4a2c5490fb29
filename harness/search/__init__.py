"""What to train next: one study's Optuna record, under its lock.

journal  the file, its lock, its repair
study    ask, report, tell; retries; what may not change
fixed    settings that are given, not searched for
draws    settings drawn at random, to see what a study will ask for
"""

from harness.search.draws import random_specs
from harness.search.study import Counts, Search, open_search

__all__ = ["Counts", "Search", "open_search", "random_specs"]
