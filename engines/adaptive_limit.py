"""How many calls a server is sent at once, found out from what it refuses."""

from __future__ import annotations

import threading


class AdaptiveLimit:
    """How many calls may run at once: one more after as many successes, half as many after a refusal (AIMD).

    Additive increase, multiplicative decrease is how TCP avoids congestion (Chiu & Jain 1989).
    """

    def __init__(self, maximum: int):
        self.maximum, self.limit, self.running = maximum, float(maximum), 0
        self._changed = threading.Condition()

    def __enter__(self):
        with self._changed:
            self._changed.wait_for(lambda: self.running < int(self.limit))
            self.running += 1

    def __exit__(self, *_):
        with self._changed:
            self.running -= 1
            self.limit = min(self.maximum, self.limit + 1 / self.limit)
            self._changed.notify_all()

    def refused(self) -> None:
        """The server reported that it is overloaded."""
        with self._changed:
            self.limit = max(1.0, self.limit / 2)
