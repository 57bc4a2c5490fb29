"""The boosters that are baselines here: LightGBM always, XGBoost where it is installed."""

from __future__ import annotations

from importlib.util import find_spec

from harness.models.boosters import MODULES

INSTALLED = {name for name, module in MODULES.items() if find_spec(module)}
