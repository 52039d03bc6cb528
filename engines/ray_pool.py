"""The workers of an engine on a Ray cluster: who is asked what, and who takes the place of one that is lost.

A signal handler may raise in the main thread at any point. Within a call of Ray that becomes a SystemError
(ray._raylet.check_signals), so only other threads call Ray, and the main thread waits for them at a queue.
"""

from __future__ import annotations

import functools
import itertools
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from engines.chat import Conversation, Engine, Reply
from engines.ray_cluster import Share, say_if_it_waits
from engines.ray_worker import THREADS, About, Worker
from utils import InputError

MAX_LOSSES = 3  # workers in turn that may be lost over the same stretch, or in one place without a reply

log = logging.getLogger(__name__)


@dataclass
class Stretch:
    """Conversations that go to a worker together, by their indices in a call; `together`: all of them again after a loss."""

    indices: list[int]
    together: bool
    replies: dict[int, Reply] = field(default_factory=dict)
    losses: int = 0

    def left(self) -> list[int]:
        """What to ask a worker now."""
        return self.indices if self.together else [index for index in self.indices if index not in self.replies]

    def take(self, asked: list[int], arrived: list[tuple[int, Reply]], on_reply: Callable[[int, Reply], None]) -> None:
        """Keep replies, given by their position in what was asked; of a conversation that was asked twice the first one."""
        for position, reply in arrived:
            index = asked[position]
            if index not in self.replies:
                self.replies[index] = reply
                on_reply(index, reply)


class WorkerPool:
    """Workers, each in its place, and what they are asked."""

    def __init__(self, share: Share, load: Callable[[int], Engine]):
        """Start as many workers as `share` says, each with `load(its number)`; returns once one of them is loaded."""
        self.share, self.load = share, load
        self.inbox: SimpleQueue = SimpleQueue()  # of the call that is under way; None in it: look at the places
        self._calls = itertools.count()
        self._stopping: list[threading.Thread] = []
        self.closed = False
        self.places = [WorkerPlace(number, self) for number in range(share.workers)]
        for place in self.places:
            place.fill()
        try:
            self._loaded()
        except BaseException:  # none loads, or this was stopped: the others are not needed
            self.close()
            raise

    def capacity(self) -> int:
        """How many conversations a worker is given at once."""
        return self._loaded().about.capacity

    def close(self) -> None:
        """End the workers, those too that are being started."""
        self.closed = True
        in_thread(lambda: [place.empty() for place in self.places])

    def on_one(self, method: str, *arguments) -> Any:
        """What a method of one of the workers returns."""
        while True:
            place = self._loaded()
            outcome = in_thread(lambda actor=place.actor: get(getattr(actor, method).remote(*arguments)))
            if not isinstance(outcome, Lost):
                return outcome
            place.lose(place.actor, outcome)

    def answer(
        self,
        stretches: list[Stretch],
        request: Callable[[list[int]], tuple[list[Conversation], dict]],
        on_reply: Callable[[int, Reply], None],
        on_stretch: Callable[[list[int], list[Reply]], None],
    ) -> None:
        """Have all stretches answered: each reply is reported once, and each stretch when it is complete.

        `request` makes of indices the conversations and options of a worker's `ask`.
        """
        for thread in self._stopping:  # a stop that arrived later would end this call
            thread.join()
        call, self.inbox, self._stopping = next(self._calls), SimpleQueue(), []
        waiting, in_flight, unfinished = deque(stretches), Counter(), len(stretches)
        try:
            while unfinished:
                self._hand_out(call, waiting, in_flight, request)
                message = self.inbox.get()
                if message is None:
                    continue
                place, actor, stretch, asked, arrived = message
                if isinstance(arrived, Lost):
                    place.lose(actor, arrived)
                    in_flight.pop(actor, None)
                    stretch.losses += 1
                    require_few_losses(stretch.losses, f"the same {len(stretch.indices)} conversations", arrived)
                    waiting.appendleft(stretch)
                elif isinstance(arrived, Exception):
                    raise arrived
                elif arrived is None:
                    unfinished -= 1
                    on_stretch(stretch.indices, [stretch.replies[index] for index in stretch.indices])
                else:
                    place.losses = 0
                    in_flight[actor] -= len(arrived)
                    stretch.take(asked, arrived, on_reply)
        finally:
            if unfinished:
                self._stopping = [threading.Thread(target=place.stop, args=(call,)) for place in self.places]
                for thread in self._stopping:
                    thread.start()

    def _hand_out(self, call: int, waiting: deque[Stretch], in_flight: Counter, request: Callable) -> None:
        """Give each worker that is loaded as much as it can take, first the one that is least busy for its capacity."""
        while waiting and (loaded := self._all_loaded()):
            asked = waiting[0].left()
            with_room = [
                place
                for place in loaded
                if not in_flight[place.actor] or in_flight[place.actor] + len(asked) <= place.about.capacity
            ]
            if not with_room:
                return
            place = min(with_room, key=lambda one: in_flight[one.actor] / one.about.capacity)
            stretch = waiting.popleft()
            in_flight[place.actor] += len(asked)
            what = (place, place.actor, stretch, asked, call, request(asked), self.inbox)
            threading.Thread(target=follow, args=what, daemon=True).start()

    def _all_loaded(self) -> list[WorkerPlace]:
        """The places whose workers can be asked; raises what keeps a first worker, or all of them, from loading."""
        failures = [place.failure for place in self.places if place.failure]
        for failure in failures:
            if not isinstance(failure, TooManyLost) or len(failures) == len(self.places):
                raise failure
        return [place for place in self.places if place.about]

    def _loaded(self) -> WorkerPlace:
        """A place whose worker can be asked; waits for one."""
        while not (loaded := self._all_loaded()):
            self.inbox.get()
        return loaded[0]


class WorkerPlace:
    """A worker's place. It is filled again when its worker is lost."""

    def __init__(self, number: int, pool: WorkerPool):
        self.number, self.pool = number, pool
        self.actor: Any = None
        self.about: About | None = None  # None until the worker is loaded
        self.failure: Exception | None = None  # why there is no worker here any more
        self.was_loaded = False  # so that what keeps another worker from loading is this place's own trouble
        self.losses = 0  # since the last reply

    def fill(self) -> None:
        """Start a worker; the call under way is told when it is loaded, or that it cannot be."""
        lost, self.about, self.actor = self.actor, None, None
        threading.Thread(target=self._start, args=(lost,), daemon=True).start()

    def _start(self, lost: Any) -> None:
        import ray

        share = self.pool.share
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "scheduling_strategy": "SPREAD"}
        try:
            if lost:  # which may only be out of reach, and would keep its share of the machine
                ray.kill(lost)
            self.actor = ray.remote(Worker).options(max_concurrency=THREADS, **options).remote()
            if self.pool.closed:
                self.empty()
            say_if_it_waits(self.actor, self.number, share)
            loaded = get(self.actor.load.remote(functools.partial(self.pool.load, self.number)))
        except Exception as error:  # of Ray itself
            loaded = error
        if isinstance(loaded, About):
            self.about, self.was_loaded = loaded, True
            log.info("Ray: worker %d is ready: process %d on %s", self.number, loaded.pid, loaded.node)
        elif isinstance(loaded, Lost):
            self.lose(self.actor, loaded)
        elif self.was_loaded:  # such as a GPU that has failed: no reason to end the others
            self.lose(self.actor, Lost(f"{type(loaded).__name__}: {(str(loaded).splitlines() or [''])[0]}"))
        else:
            self.failure = loaded
        self.pool.inbox.put(None)

    def lose(self, actor: Any, loss: Lost) -> None:
        """Put another worker in the place of this one, unless that was done; in the end give the place up."""
        if self.actor is not actor or self.pool.closed:
            return
        self.losses += 1
        try:
            require_few_losses(self.losses, "one place without a reply", loss)
        except TooManyLost as error:
            self.about, self.failure = None, error
            log.warning("Ray: worker %d is given up: %s", self.number, error)
        else:
            log.warning("Ray: worker %d was lost (%s); another one is started in its place", self.number, loss)
            self.fill()

    def stop(self, call: int) -> None:
        """Have the worker let go of a call."""
        if self.about:
            get(self.actor.stop.remote(call))

    def empty(self) -> None:
        """End the worker, if it is still there."""
        import ray

        if self.actor:
            ray.kill(self.actor)


class TooManyLost(InputError):
    """Workers were lost again and again."""


class Lost(Exception):
    """A worker is gone, or cannot be reached: what it was asked has to be asked again."""


def follow(
    place: WorkerPlace, actor: Any, stretch: Stretch, asked: list[int], call: int, request: tuple, inbox: SimpleQueue
) -> None:
    """Ask a worker and put into the inbox what arrives: lists of (position in `asked`, reply); last None, or an error."""
    arrived = None
    try:
        for reference in actor.ask.remote(call, *request):
            arrived = get(reference)
            if isinstance(arrived, Exception):
                break
            inbox.put((place, actor, stretch, asked, arrived))
            arrived = None
    except Exception as error:  # of Ray itself
        arrived = error
    inbox.put((place, actor, stretch, asked, arrived))


def get(reference: Any) -> Any:
    """The value; Lost instead of it if the worker is gone, or the exception that its code has raised."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        error.cause.add_note(f"in a process of Ray:\n{error}")  # with the traceback there
        return error.cause
    except ray.exceptions.RayError as error:
        return Lost(type(error).__name__)


def in_thread(call: Callable[[], Any]) -> Any:
    """The value of a call that is made in another thread; raises an exception that it returns, unless that is Lost."""
    inbox: SimpleQueue = SimpleQueue()

    def run() -> None:
        try:
            inbox.put(call())
        except Exception as error:
            inbox.put(error)

    threading.Thread(target=run, daemon=True).start()
    value = inbox.get()
    if isinstance(value, Exception) and not isinstance(value, Lost):
        raise value
    return value


def require_few_losses(losses: int, over: str, loss: Lost) -> None:
    if losses >= MAX_LOSSES:
        raise TooManyLost(
            f"expected the workers on Ray to answer, found {losses} lost in turn over {over} (the last one: {loss}): the "
            "files worker-*.err in /tmp/ray/session_latest/logs of their machines say why; what is finished is kept"
        )
