"""Trials on a Ray cluster: an actor a GPU, or for so many CPU cores, on any number of nodes.

Placement and transport are Ray's. The driver asks each actor for its next step, one call at a time;
a call that comes back without an answer shows that the actor or its node died. Nodes that join
later are given actors, a lost node's trials are reported lost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from harness.data.cache import map_array
from harness.data.prepare import TrainingFiles
from harness.errors import HarnessError
from harness.executors.assignment import Waiting, WorkerLoad
from harness.executors.base import Epoch, Event, Lost, Setup
from harness.executors.hang_detection import HUNG_AFTER, SLICE, HangDetector
from harness.executors.ray_actor import Message, RayWorker
from harness.executors.ray_cluster import free, workers
from harness.trial import Trial

COUNT_SECONDS = 2.0
"""The cluster's nodes are counted so often."""
NO_PLACE_SECONDS = 10.0
"""After so long without a place for any actor, it is told that one waits for it."""
FAILED_STARTS = 3
"""After so many actors in a row that ended before they were ready, no more are started."""


@dataclass(eq=False, kw_only=True)
class Actor(WorkerLoad):
    handle: Any
    """Ray's, of a Trainer."""
    call: Any
    """What it was asked and has not answered, a reference of Ray's; None where nothing."""
    outbox: list[Message] = field(default_factory=list)
    node: str = ""
    """Where it runs; none while the cluster has no place for it."""

    @property
    def shown(self) -> str:
        """`node-2/7`: what the record says of where a trial was trained."""
        return f"{self.node}/{self.name.removeprefix('worker ')}" if self.node else self.name


class RayExecutor:
    """As many actors as the cluster has room for, `most` of them; within `cluster.joined`."""

    def __init__(
        self,
        files: TrainingFiles,
        setup: Setup,
        *,
        cpus: int = 1,
        most: int = 1000,
        hung_after: float = HUNG_AFTER,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`cpus` are set aside for each actor; where `setup.device` is no CPU, a GPU too. `tell`
        is told when others have the whole cluster."""
        import ray

        self._ray, self._files, self._setup = ray, files, setup
        self._cpus, self._most = cpus, most
        self._gpu = setup.device != "cpu"
        # Ray carries an object to each node once; the actors there share its memory.
        self._stored = {path: ray.put(map_array(path)) for path in files.paths}
        self._actors, self._started = list[Actor](), 0
        self._waiting, self._watchdog = Waiting(files), HangDetector(hung_after)
        self._failed_starts, self._counted = 0, -COUNT_SECONDS
        self._tell, self._without_place = tell, 0.0

    @property
    def slots(self) -> int:
        return max(1, sum(actor.ready for actor in self._actors)) * self._setup.slots

    def submit(self, trials: Sequence[Trial]) -> None:
        self._waiting.extend(trials)
        self._grow()
        self._feed()

    def answer(self, uid: str, keep: bool) -> None:
        for actor in self._actors:
            if uid in actor.trials:
                actor.unanswered.discard(uid)
                actor.outbox.append((uid, keep))
                self._ask(actor)

    def wait(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        while True:
            self._grow()
            self._feed()
            events = self._listen(max(0.0, min(SLICE, deadline - time.monotonic())))
            self._feed()
            if events or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        self._waiting.clear()
        for actor in list(self._actors):
            self._end(actor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _grow(self) -> None:
        """An actor for all room there is: nodes may have joined, or been lost."""
        if time.monotonic() - self._counted < COUNT_SECONDS:
            return
        self._counted = time.monotonic()
        wanted = min(self._most, workers(self._gpu, self._cpus))
        while len(self._actors) < wanted:
            self._actors.append(self._start())
        # Ray takes some time to see that a node is lost: who was to go there has no place.
        pending = [actor for actor in self._actors if not actor.ready]
        for actor in pending[: max(0, len(self._actors) - wanted)]:
            self._end(actor)

    def _start(self) -> Actor:
        name = f"worker {self._started}"
        self._started += 1
        remote = self._ray.remote(num_cpus=self._cpus, num_gpus=int(self._gpu))(RayWorker)
        setup = replace(self._setup, device="cuda:0") if self._gpu else self._setup
        handle: Any = remote.remote(self._files, self._stored, setup, name, sys.path)
        return Actor(name, setup, handle=handle, call=handle.node.remote())

    def _feed(self) -> None:
        for actor, trial in self._waiting.given(self._actors, alone=self.slots == 1):
            actor.outbox.append(trial)
        for actor in self._actors:
            self._ask(actor)

    def _ask(self, actor: Actor) -> None:
        """For the next step, where it has one to make: each epoch of the last is answered."""
        if actor.call is None and actor.trials and not actor.unanswered:
            actor.call = actor.handle.advance.remote(actor.outbox)
            actor.outbox = []

    def _listen(self, timeout: float) -> list[Event]:
        asked = {actor.call: actor for actor in self._actors if actor.call is not None}
        before = time.monotonic()
        if asked:
            self._ray.wait(list(asked), timeout=timeout)
            came, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
        else:
            time.sleep(timeout)  # every node was lost
            came = []
        passed = time.monotonic() - before
        self._complain(passed)
        for actor in asked.values():
            if actor.node:
                self._watchdog.waited(actor.name, passed)
        events = [event for call in came for event in self._read(asked[call])]
        return events + [event for actor in list(self._actors) for event in self._check(actor)]

    def _read(self, actor: Actor) -> list[Event]:
        try:
            answer = self._ray.get(actor.call)
        except self._ray.exceptions.RayActorError as error:
            return self._lose(actor, f"{actor.shown} {_why(error)}")
        except self._ray.exceptions.RayTaskError as error:
            if not actor.ready:
                return self._lose(actor, f"{actor.name} cannot start: {_first(error.cause)}")
            raise HarnessError(
                f"{actor.name} on the cluster failed: {_first(error.cause)}"
            ) from None
        actor.call = None
        if not actor.node:
            actor.node, actor.call = answer, actor.handle.get_ready.remote()
            return []
        if not actor.ready:
            self._watchdog.heard(actor.name)
            actor.ready, self._failed_starts = True, 0
            return []
        events, broken = answer
        told = [replace(event, worker=actor.shown) for event in events]
        work = self._waiting.work_before_event(
            actor.trials[event.uid] for event in events if isinstance(event, Epoch)
        )
        self._watchdog.heard(actor.name, work)
        for event in events:
            if isinstance(event, Epoch):
                actor.unanswered.add(event.uid)
            else:
                del actor.trials[event.uid]
        if broken:
            told += self._lose(actor, f"{actor.name} left")
        return told

    def _check(self, actor: Actor) -> list[Event]:
        """End one that has been silent for too long."""
        silence = self._watchdog.silence(actor.name)
        if actor.call is None or silence <= self._waiting.patience(actor, self._watchdog):
            return []
        what = "no epoch" if actor.ready else "not ready"
        return self._lose(actor, f"{actor.name} hung: {what} for {silence:.0f} s, killed")

    def _complain(self, passed: float) -> None:
        """Say once that all wait for a place: others may have it for hours."""
        if any(actor.node for actor in self._actors):
            self._without_place = 0.0
            return
        told = self._without_place >= NO_PLACE_SECONDS
        self._without_place += passed
        if self._without_place >= NO_PLACE_SECONDS and not told:
            self._tell(f"waiting for a place on the Ray cluster: {free(self._gpu)}")

    def _end(self, actor: Actor) -> None:
        self._ray.kill(actor.handle)
        self._actors.remove(actor)
        self._watchdog.heard(actor.name)

    def _lose(self, actor: Actor, how: str) -> list[Event]:
        """Take it out; another is started where there is room."""
        self._end(actor)
        self._counted = -COUNT_SECONDS
        self._failed_starts += not actor.ready
        if self._failed_starts >= FAILED_STARTS:
            raise HarnessError(f"{how} before it was ready, {FAILED_STARTS} times in a row")
        return [Lost(uid, actor.shown, how) for uid in actor.trials]


def _why(error: Exception) -> str:
    said = str(error)
    if "unavailable" in said:
        return "died, or its node did: it does not answer"
    if "node has died" in said or "node has failed" in said:
        return "died with its node"
    if "creation task" in said:  # a traceback follows, whose end says why
        return f"cannot start: {said.strip().splitlines()[-1]}"
    return f"died ({_first(error)})"


def _first(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
