"""A storage on a server that may be away for a while: its calls are made again until it answers.

Only the study's driver writes, so what a lost answer leaves open is found out: a trial that is
newer than all we were told of is the one we asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage

from harness.errors import StoreError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between attempts, twice as many each time."""


class _Patient:
    """See `patient`."""

    def __init__(
        self, inner: BaseStorage, name: str, renew: Callable[[], None], longest: float
    ) -> None:
        self._inner, self._name, self._renew, self._longest = inner, name, renew, longest
        self._newest: dict[int, int] = {}
        """By study: the id of the newest trial that we know of."""

    def create_new_trial(self, study_id: int, template_trial: Any = None) -> int:
        known = self._newest.get(study_id)
        if known is None:
            known = self._call("get_all_trials", study_id, deepcopy=False)
            known = max((trial._trial_id for trial in known), default=-1)

        def made_already() -> int | None:
            found = self._inner.get_all_trials(study_id, deepcopy=False)
            return next((t._trial_id for t in found if t._trial_id > known), None)

        created: int = self._call(
            "create_new_trial", study_id, template_trial, before=made_already, ours=True
        )
        self._newest[study_id] = created
        return created

    def set_trial_state_values(self, trial_id: int, state: Any, values: Any = None) -> bool:
        def set_already() -> bool | None:
            return True if self._inner.get_trial(trial_id).state == state else None

        try:
            done: bool = self._call(
                "set_trial_state_values", trial_id, state, values, before=set_already
            )
        except UpdateFinishedTrialError:
            if self._inner.get_trial(trial_id).state != state:
                raise
            return True
        return done

    def _call(
        self,
        method: str,
        *given: Any,
        before: Callable[[], Any] = lambda: None,
        ours: bool = False,
        **more: Any,
    ) -> Any:
        """`before` a call is made again, it may find that the first one was heard; `ours`: only
        for who certainly still has the study."""
        pause, deadline, again = FIRST_PAUSE, time.monotonic() + self._longest, False
        while True:
            try:
                if again or ours:
                    self._renew()
                if again and (done := before()) is not None:
                    return done
                return getattr(self._inner, method)(*given, **more)
            except StorageInternalError as error:
                if time.monotonic() > deadline:
                    said = " ".join(str(error.__cause__ or error).split("\n")[:1])
                    raise StoreError(
                        f"{self._name} does not answer ({said}); the same command goes on when it "
                        "does"
                    ) from None
            time.sleep(pause)
            pause, again = min(2 * pause, LONGEST_PAUSE), True


def _passed_on(method: str) -> Callable[..., Any]:
    def call(self: _Patient, *given: Any, **more: Any) -> Any:
        return self._call(method, *given, **more)

    return call


_OTHERS = BaseStorage.__abstractmethods__ - vars(_Patient).keys()
_Storage: Any = type(
    "PatientStorage", (_Patient, BaseStorage), {name: _passed_on(name) for name in _OTHERS}
)


def patient(
    inner: BaseStorage, name: str, renew: Callable[[], None], longest: float = 300.0
) -> BaseStorage:
    """`inner`, whose calls wait up to `longest` seconds for its server.

    `renew` is called before one is made again and before each new trial. It raises
    StorageInternalError while nobody answers, and whatever it likes where the study is not ours.
    """
    storage: BaseStorage = _Storage(inner, name, renew, longest)
    return storage
