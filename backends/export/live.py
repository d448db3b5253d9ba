"""Spans to a collector while the run goes on, in a thread of its own.

It reads the store, as screens do, and nothing waits for it. While the endpoint is down nothing is gathered: what has
not been sent yet is on the tape, and is read when it can be sent.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backends.export.endpoint import Endpoint, EndpointError, endpoint_of, pause_before, wants_content
from backends.export.genai import tool_span
from backends.export.run import Calls, Timeline
from backends.export.span import Span
from store.domain.events import Event, ToolFinished
from store.errors import StoreError

if TYPE_CHECKING:
    from store.database import Store

log = logging.getLogger("multitrack.export")

EVERY = 2.0
"""Seconds between two batches."""

LAST = 5.0
"""Seconds that the last spans have, when the run is left."""


class Exporter:
    """Sends a run's spans, from now on. What ended before is for `multitrack export`."""

    def __init__(
        self, store: "Store", run: str, endpoint: Endpoint, *, environ: Mapping[str, str], every: float = EVERY
    ) -> None:
        self._store, self._run, self._endpoint, self._environ, self._every = store, run, endpoint, environ, every
        from store import events
        from store.ended import EndedCalls

        self._content = wants_content(environ)
        # From now on is from here on, not from when the thread has its turn.
        self._before = events.last(store, run)
        self._ended = EndedCalls(store, run)
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._down = False
        self._thread = threading.Thread(target=self._work, name="exporter", daemon=True)
        self.sent = 0
        """Spans that the endpoint took."""
        self.dropped = 0
        """Spans that it refused, or that were left at the end."""

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = LAST) -> None:
        """Send what is left, for so many seconds at most."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._thread.join(timeout + self._endpoint.timeout)
        if self.dropped:
            log.warning(
                "%d spans were not taken by %s: `multitrack export %s --format otlp --endpoint URL` sends all again",
                self.dropped,
                self._endpoint.name,
                self._run,
            )

    def _work(self) -> None:
        try:
            self._follow()
        except StoreError as error:
            log.warning("spans are no longer sent: %s", error)
        except Exception:
            # Whatever it is, it is no reason for the run to stop.
            log.exception("spans are no longer sent")

    def _follow(self) -> None:
        from store.feed import LiveFeed

        timeline, feed = Timeline(self._run), LiveFeed(self._store, run=self._run)
        calls = Calls(self._store, content=self._content)
        while True:
            last = self._closing.wait(self._every)
            while events := feed.poll():
                self._send(span for event in events for span in self._of(event, timeline))
            self._send(calls.span(call) for call in self._ended.poll())
            if last:
                return

    def _of(self, event: Event, timeline: Timeline) -> Iterator[Span]:
        spans = [*timeline.apply(event)]
        if event.seq <= self._before:
            return
        yield from spans
        payload, who = event.payload, event.subagent
        if isinstance(payload, ToolFinished) and who is not None:
            start = event.at - payload.seconds
            yield tool_span(self._run, who, payload.name, payload.tool_call, start, event.at, ok=payload.ok)

    def _send(self, spans: Iterator[Span]) -> None:
        from backends.export.wire import batches

        for batch in batches(spans, self._environ):
            count = len(batch.resource_spans[0].scope_spans[0].spans)
            attempt = 0
            while True:
                try:
                    refused = self._endpoint.send(batch)
                except EndpointError as error:
                    self._say_down(error)
                    if not error.again or not self._wait(pause_before(attempt, error.pause)):
                        self.dropped += count
                        break
                    attempt += 1
                else:
                    self._say_up()
                    self.sent += count - refused
                    self.dropped += refused
                    break

    def _wait(self, seconds: float) -> bool:
        """Wait before another attempt; False when there is no time for one."""
        left = self._deadline - time.monotonic()
        if self._closing.is_set():
            time.sleep(max(min(seconds, left), 0.0))
        else:
            self._closing.wait(seconds)
        return time.monotonic() < self._deadline

    def _say_down(self, error: EndpointError) -> None:
        if not self._down:
            self._down = True
            log.warning("spans can't be sent: %s%s", error, "; it is tried again until it takes them" * error.again)

    def _say_up(self) -> None:
        if self._down:
            self._down = False
            log.warning("spans are sent again to %s", self._endpoint.name)


@contextmanager
def exported(store: "Store", run: str, environ: Mapping[str, str]) -> Iterator[None]:
    """Send the run's spans while the block lasts, where OpenTelemetry's variables name an endpoint."""
    try:
        endpoint = endpoint_of(environ)
    except EndpointError as error:
        log.warning("no spans are sent: %s", error)
        endpoint = None
    if endpoint is None:
        yield
        return
    exporter = Exporter(store, run, endpoint, environ=environ)
    exporter.start()
    try:
        yield
    finally:
        exporter.close()
