"""Waiting for what others do, without taking the time that they need for it."""

import time
from collections.abc import Callable, Iterator

LEAST, MOST = 0.005, 0.1
"""Seconds between two looks. The most is short, so that what is there for a while only is not missed."""
SHARE = 4
"""A look that took long, such as one at a whole log, is followed by a pause so many times as long."""


def pauses(condition: Callable[[], object], what: str, seconds: float) -> Iterator[float]:
    """How long to sleep before each further look, until the condition holds. AssertionError that says what was waited
    for, when it doesn't come."""
    end = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < end, f"waited in vain for {what}"
        yield min(max(LEAST, SHARE * (now - began)), MOST)
