"""Every check of the doctor is registered, so that a forgotten one fails here."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import harness.checks
from harness.checks.registry import CHECKS
from harness.checks.snapshot import Snapshot


def test_every_check_is_registered() -> None:
    registered = {check for _, checks in CHECKS.values() for check in checks}
    written = {
        function
        for module in pkgutil.iter_modules(harness.checks.__path__)
        if module.name.startswith("check_")
        for name, function in vars(importlib.import_module(f"harness.checks.{module.name}")).items()
        if name.startswith("check_")
        and inspect.isfunction(function)
        and list(inspect.signature(function).parameters) == ["snapshot"]
    }
    assert registered == written
    assert list(CHECKS) == list(range(1, 9)), (
        "the invariants' numbers are on record and in the docs"
    )


def test_a_study_without_any_record_has_no_findings_but_the_missing_runs() -> None:
    snapshot = Snapshot("nothing", None, None)
    findings = [
        finding for _, checks in CHECKS.values() for check in checks for finding in check(snapshot)
    ]
    assert [finding.invariant for finding in findings] == [1]
