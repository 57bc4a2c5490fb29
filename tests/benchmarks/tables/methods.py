"""The methods by name, and which of them one fit serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.tables import harness_study, networks, trees
from tests.benchmarks.tables.prediction import Prediction
from tests.benchmarks.tables.splits import Task

RIVALS = "rivals"
HARNESS = "harness"


@dataclass(frozen=True)
class Fit:
    """One fit, and the methods whose predictions it gives."""

    methods: tuple[str, ...]
    run: Callable[[Task], Mapping[str, Prediction]]
    group: str


def _single(name: str, fit: Callable[[Task], Prediction]) -> Fit:
    return Fit((name,), lambda task: {name: fit(task)}, RIVALS)


FITS = (
    *(
        _single(f"{name}{ending}", partial(fit, library=library))
        for name, library in trees.LIBRARIES.items()
        for ending, fit in (("", trees.fit_default), (", tuned", trees.fit_tuned))
    ),
    _single("scikit-learn MLP", networks.fit_sklearn_mlp),
    _single("RealMLP-TD", networks.fit_realmlp),
    _single("TabM-D", networks.fit_tabm),
    Fit(harness_study.METHODS, harness_study.fit_study, HARNESS),
)


def select_fits(group: str) -> list[Fit]:
    """Return the fits of a group: `rivals` or `harness`."""
    return [fit for fit in FITS if fit.group == group]


METHODS = tuple(name for fit in FITS for name in fit.methods)
