"""Other threads wait less for their turn while the driver runs."""

from __future__ import annotations

import sys

import pytest

from harness.system.thread_switching import SWITCH_SECONDS, switch_threads_often


def test_the_interval_is_short_for_the_block_and_as_before_after_it() -> None:
    before = sys.getswitchinterval()
    with switch_threads_often():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == before
