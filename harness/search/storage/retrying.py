"""An Optuna storage that retries its calls while its server is away.

An answer may get lost after the server has executed the call. Before the retry of such a call, the
storage is asked whether the call was executed. That is possible because only the study's driver
writes: a trial newer than all known ones is the one that was created.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from harness.errors import StoreError
from harness.search.storage.forwarding import ForwardingStorage, P, R
from harness.system.retries import make_retries

MAX_PAUSE = 10.0
"""The longest pause between two attempts, in seconds."""
RETRY_TIMEOUT = 300.0
"""Seconds before a call fails for good."""


class RetryingStorage(ForwardingStorage):
    """Retries the calls of `inner`."""

    def __init__(
        self,
        inner: BaseStorage,
        name: str,
        renew_lock: Callable[[], None],
        timeout: float = RETRY_TIMEOUT,
    ) -> None:
        """
        Args:
            name: the server's address, for messages.
            renew_lock: called before each retry and each new trial. It raises
                StorageInternalError while the server is away, and another error if the study's
                lock is lost.
            timeout: seconds before a call fails for good.
        """
        super().__init__(inner)
        self._name, self._renew_lock, self._timeout = name, renew_lock, timeout
        self._newest: dict[int, int] = {}
        """By study id: the id of the newest known trial."""

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        newest = self._newest.get(study_id)
        if newest is None:
            trials = self.get_all_trials(study_id, deepcopy=False)
            newest = max((trial._trial_id for trial in trials), default=-1)

        def find_created() -> int | None:
            trials = self._inner.get_all_trials(study_id, deepcopy=False)
            return next((t._trial_id for t in trials if t._trial_id > newest), None)

        created = self._retry(
            lambda: self._inner.create_new_trial(study_id, template_trial),
            find_created,
            needs_lock=True,
        )
        self._newest[study_id] = created
        return created

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        def find_state() -> bool | None:
            return True if self._inner.get_trial(trial_id).state == state else None

        try:
            return self._retry(
                lambda: self._inner.set_trial_state_values(trial_id, state, values), find_state
            )
        except UpdateFinishedTrialError:
            if self._inner.get_trial(trial_id).state != state:
                raise
            return True

    def _call(self, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return self._retry(lambda: method(*args, **kwargs), lambda: None)

    def _retry(
        self, call: Callable[[], R], find_result: Callable[[], R | None], needs_lock: bool = False
    ) -> R:
        """Call until the server answers. Raises StoreError after the timeout.

        Args:
            find_result: called before a retry; returns the result if an earlier attempt was
                executed, otherwise None.
            needs_lock: renew the study's lock before the first attempt too.
        """
        try:
            for attempt in make_retries(StorageInternalError, MAX_PAUSE, self._timeout):
                with attempt:
                    is_retry = attempt.retry_state.attempt_number > 1
                    if is_retry or needs_lock:
                        self._renew_lock()
                    if is_retry and (result := find_result()) is not None:
                        return result
                    return call()
        except StorageInternalError as error:
            reason = str(error.__cause__ or error).split("\n")[0]
            raise StoreError(
                f"{self._name} does not answer ({reason}); rerun the same command when it does"
            ) from None
        raise AssertionError("the loop ends with a result or an error")
