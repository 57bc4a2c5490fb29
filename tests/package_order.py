"""The order of the packages: each may import from those above it in this list."""

from __future__ import annotations

ORDER = [
    "errors",
    "scoring",
    "stats",
    "system",
    "results",
    "model_arguments",
    "trial",
    "metrics",
    "data",
    "config",
    "tracking",
    "search",
    "models",
    "engine",
    "analysis",
    "test_set",
    "executors",
    "workspace",
    "inference",
    "reports",
    "sweep",
    "progress",
    "checks",
    "api",
    "__init__",
    "cli",
    "__main__",
]
