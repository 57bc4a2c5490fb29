"""The Ray executor: one actor for each GPU, or for each few CPU cores, of a cluster.

Ray does the placement and the transport. The driver asks each actor for its next step, one call at
a time; a call fails if the actor or its node died. Nodes that join later get actors; the trials of
a lost node are reported as lost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from harness.data.cache import map_array
from harness.data.training_files import TrainingFiles
from harness.errors import HarnessError
from harness.executors.assignment import TrialQueue, WorkerLoad
from harness.executors.base import EpochEnded, Event, Setup, TrialLost
from harness.executors.hang_detection import HUNG_AFTER, POLL_SECONDS, HangDetector
from harness.executors.ray_actor import Message, RayWorker
from harness.executors.ray_cluster import count_workers, describe_free
from harness.trial import Trial

COUNT_SECONDS = 2.0
"""How often the cluster's nodes are counted."""
NO_PLACE_SECONDS = 10.0
"""Notify the user after this long without a place for any actor."""
FAILED_STARTS = 3
"""No more actors are started after this many in a row ended before they were ready."""


@dataclass(eq=False, kw_only=True)
class Actor(WorkerLoad):
    """A RayWorker, as the driver knows it."""

    handle: Any
    """Ray's handle of the actor."""
    call: Any
    """Ray's reference to the unanswered call; None if there is none."""
    messages: list[Message] = field(default_factory=list)
    """To send with the next call."""
    node: str = ""
    """The node that it runs on; empty while the cluster has no place for it."""

    @property
    def display_name(self) -> str:
        """Such as `node-2/7`: recorded as the place where a trial was trained."""
        return f"{self.node}/{self.name.removeprefix('worker ')}" if self.node else self.name


class RayExecutor:
    """As many actors as the cluster has room for; use it within `ray_cluster.join_cluster`."""

    def __init__(
        self,
        files: TrainingFiles,
        setup: Setup,
        *,
        cpus: int = 1,
        max_workers: int = 1000,
        hung_after: float = HUNG_AFTER,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        """
        Args:
            setup: a device other than `cpu` reserves a GPU for each actor.
            cpus: CPU cores for each actor.
            max_workers: the most actors.
            notify: receives a message when no actor has a place on the cluster.
        """
        import ray

        self._ray, self._files, self._setup = ray, files, setup
        self._cpus, self._max_workers = cpus, max_workers
        self._gpu = setup.device != "cpu"
        # Ray copies an object to each node once; the actors there share its memory.
        self._stored_arrays = {path: ray.put(map_array(path)) for path in files.paths}
        self._actors, self._started = list[Actor](), 0
        self._queue, self._detector = TrialQueue(files), HangDetector(hung_after)
        self._failed_starts, self._counted_at = 0, -COUNT_SECONDS
        self._notify, self._seconds_without_place = notify, 0.0

    @property
    def slots(self) -> int:
        return max(1, sum(actor.is_ready for actor in self._actors)) * self._setup.slots

    def submit(self, trials: Sequence[Trial]) -> None:
        self._queue.extend(trials)
        self._start_actors()
        self._assign_trials()

    def answer(self, uid: str, keep: bool) -> None:
        for actor in self._actors:
            if uid in actor.trials:
                actor.unanswered.discard(uid)
                actor.messages.append((uid, keep))
                self._request_step(actor)

    def wait(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        while True:
            self._start_actors()
            self._assign_trials()
            events = self._receive(max(0.0, min(POLL_SECONDS, deadline - time.monotonic())))
            self._assign_trials()
            if events or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        self._queue.clear()
        for actor in list(self._actors):
            self._kill(actor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start_actors(self) -> None:
        """Start actors for the cluster's room, which changes when nodes join or are lost."""
        if time.monotonic() - self._counted_at < COUNT_SECONDS:
            return
        self._counted_at = time.monotonic()
        wanted = min(self._max_workers, count_workers(self._gpu, self._cpus))
        while len(self._actors) < wanted:
            self._actors.append(self._start_actor())
        # Ray takes some time to notice a lost node; the actors meant for it have no place.
        pending = [actor for actor in self._actors if not actor.is_ready]
        for actor in pending[: max(0, len(self._actors) - wanted)]:
            self._kill(actor)

    def _start_actor(self) -> Actor:
        name = f"worker {self._started}"
        self._started += 1
        remote = self._ray.remote(num_cpus=self._cpus, num_gpus=int(self._gpu))(RayWorker)
        setup = replace(self._setup, device="cuda:0") if self._gpu else self._setup
        handle: Any = remote.remote(self._files, self._stored_arrays, setup, name, sys.path)
        return Actor(name, setup, handle=handle, call=handle.get_node_name.remote())

    def _assign_trials(self) -> None:
        for actor, trial in self._queue.assign(self._actors, in_order=self.slots == 1):
            actor.messages.append(trial)
        for actor in self._actors:
            self._request_step(actor)

    def _request_step(self, actor: Actor) -> None:
        """Request the actor's next step, if every epoch of the last one was answered."""
        if actor.call is None and actor.trials and not actor.unanswered:
            actor.call = actor.handle.advance.remote(actor.messages)
            actor.messages = []

    def _receive(self, timeout: float) -> list[Event]:
        waiting = {actor.call: actor for actor in self._actors if actor.call is not None}
        before = time.monotonic()
        if waiting:
            self._ray.wait(list(waiting), timeout=timeout)
            done, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        else:
            time.sleep(timeout)  # all nodes were lost
            done = []
        passed = time.monotonic() - before
        self._notify_if_no_place(passed)
        for actor in waiting.values():
            if actor.node:
                self._detector.add_silence(actor.name, passed)
        events = [event for call in done for event in self._read(waiting[call])]
        return events + [
            event for actor in list(self._actors) for event in self._check_for_hang(actor)
        ]

    def _read(self, actor: Actor) -> list[Event]:
        try:
            answer = self._ray.get(actor.call)
        except self._ray.exceptions.RayActorError as error:
            return self._lose(actor, f"{actor.display_name} {_describe_error(error)}")
        except self._ray.exceptions.RayTaskError as error:
            if not actor.is_ready:
                return self._lose(actor, f"{actor.name} cannot start: {_first_line(error.cause)}")
            raise HarnessError(
                f"{actor.name} on the cluster failed: {_first_line(error.cause)}"
            ) from None
        actor.call = None
        if not actor.node:
            actor.node, actor.call = answer, actor.handle.get_ready.remote()
            return []
        if not actor.is_ready:
            self._detector.record_message(actor.name)
            actor.is_ready, self._failed_starts = True, 0
            return []
        events, broken = answer
        named_events = [replace(event, worker=actor.display_name) for event in events]
        work = self._queue.estimate_work_to_event(
            actor.trials[event.uid] for event in events if isinstance(event, EpochEnded)
        )
        self._detector.record_message(actor.name, work)
        for event in events:
            if isinstance(event, EpochEnded):
                actor.unanswered.add(event.uid)
            else:
                del actor.trials[event.uid]
        if broken:
            named_events += self._lose(actor, f"{actor.name} left")
        return named_events

    def _check_for_hang(self, actor: Actor) -> list[Event]:
        """Replace an actor that has been silent for too long."""
        silence = self._detector.get_silence(actor.name)
        if actor.call is None or silence <= self._queue.get_silence_limit(actor, self._detector):
            return []
        missing = "no epoch" if actor.is_ready else "not ready"
        return self._lose(actor, f"{actor.name} hung: {missing} for {silence:.0f} s, killed")

    def _notify_if_no_place(self, passed: float) -> None:
        """Notify the user once that all actors wait for a place, which may take hours."""
        if any(actor.node for actor in self._actors):
            self._seconds_without_place = 0.0
            return
        was_notified = self._seconds_without_place >= NO_PLACE_SECONDS
        self._seconds_without_place += passed
        if self._seconds_without_place >= NO_PLACE_SECONDS and not was_notified:
            self._notify(f"waiting for a place on the Ray cluster: {describe_free(self._gpu)}")

    def _kill(self, actor: Actor) -> None:
        self._ray.kill(actor.handle)
        self._actors.remove(actor)
        self._detector.record_message(actor.name)

    def _lose(self, actor: Actor, reason: str) -> list[Event]:
        """Remove an actor; another one is started if there is room."""
        self._kill(actor)
        self._counted_at = -COUNT_SECONDS
        self._failed_starts += not actor.is_ready
        if self._failed_starts >= FAILED_STARTS:
            raise HarnessError(f"{reason} before it was ready, {FAILED_STARTS} times in a row")
        return [TrialLost(uid, actor.display_name, reason) for uid in actor.trials]


def _describe_error(error: Exception) -> str:
    message = str(error)
    if "unavailable" in message:
        return "or its node died: it does not answer"
    if "node has died" in message or "node has failed" in message:
        return "died with its node"
    if "creation task" in message:  # a traceback follows, which ends with the reason
        return f"cannot start: {message.strip().splitlines()[-1]}"
    return f"died ({_first_line(error)})"


def _first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
