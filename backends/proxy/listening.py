"""What the proxy hears of an answer while it passes: events as they come, or a body once it is whole.

It works on a copy with the content coding taken off. What can't be read is passed on and recorded all the same.
"""

import logging
from dataclasses import replace

from backends.proxy.bodies import is_cut, is_json, told
from backends.proxy.decoding import CannotDecodeError, Decoder
from backends.proxy.headers import Headers, get
from backends.proxy.protocol import Answer, AnswerReader
from backends.proxy.sse import EventReader

log = logging.getLogger("multitrack.proxy")

LONGEST_END = 64 * 1024
"""An event that may be the last one, for its name has not come yet, is held back up to this many bytes. The events that
end a stream have a few hundred."""

_UNDECLARED = (b"event:", b"data:", b": ")
"""How an event stream begins that a gateway sends as something else. No JSON value does; SDKs read it all the same."""


class Listener:
    """Follows one answer with the reader of its protocol."""

    def __init__(self, headers: Headers, reader: AnswerReader) -> None:
        self._reader = reader
        self._events: EventReader | None = None
        kind = get(headers, b"content-type").lower()
        self._json = is_json(kind)
        self._framed = bool(get(headers, b"content-length") or get(headers, b"transfer-encoding"))
        """Whoever carries the body sees where it ends."""
        if kind.startswith(b"text/event-stream"):
            self._events = EventReader()
        self._decoder: Decoder | None = None
        self._problem = ""
        try:
            self._decoder = Decoder(get(headers, b"content-encoding").decode("latin-1"))
        except CannotDecodeError as error:
            self._problem = str(error)
        self._came = 0
        self._held: tuple[int, int] | None = None
        """Where the reader says that the last events begin, and where that is in the body as it came."""
        self._said: list[bytes] = []
        """What a compressed body that is no event stream has said so far."""
        self._last_said = 0
        """Where the last piece that it said something with begins in the body as it came."""
        self.ended: int | None = None
        """Where a stream's last event begins in the body as it came; None until it has come."""

    def take(self, chunk: bytes) -> int | None:
        """Follow a piece. The offset in the body that its end can't lie before; None where only the next piece can show
        that this one was not the last."""
        before, self._came = self._came, self._came + len(chunk)
        events, decoder = self._events, self._decoder
        if decoder is None or (events is None and decoder.plain):
            return None
        try:
            if events is None:
                return self._follow(decoder.decode(chunk), before)
            for event in events.feed(decoder.decode(chunk)):
                if self._reader.event(event) and self.ended is None:
                    # In a compressed stream the event is somewhere in this piece: nobody can read it without it.
                    self.ended = event.start if decoder.plain else before
        except CannotDecodeError as error:
            self._problem, self._decoder = str(error), None
            return None
        except Exception:
            # Whatever a reader stumbles over, the bytes go on and are kept.
            log.exception("an answer could not be read")
            self._problem, self._decoder = "a fault of the reader's own", None
            return None
        if (held := self._reader.held_from) is not None:
            if self._held is None or self._held[0] != held:
                self._held = held, held if decoder.plain else before
            # What comes after an error may hold anew, and later.
            return self._held[1] if self.ended is None else min(self._held[1], self.ended)
        if self.ended is not None:
            return self.ended
        if not decoder.plain or not events.pending:
            return self._came
        if (name := events.pending_name()) is not None:
            return events.start if self._reader.may_end(name) else self._came
        return events.start if events.pending <= LONGEST_END else self._came

    def _follow(self, said: bytes, before: int) -> int:
        """The end of a compressed body begins with the last piece that says something: what follows may be nothing but
        the coding's own end."""
        if said:
            self._said.append(said)
            self._last_said = before
        return self._last_said

    def finish(self, body: bytes, status: int | None = None) -> Answer:
        """The body is over. What was understood of it, as the answer of that status."""
        try:
            said = self._end(body)
            answer = self._looked_at(self._reader.answer(), said, status or 0)
        except CannotDecodeError as error:
            self._problem, answer = str(error), self._reader.answer()
        except Exception:
            log.exception("an answer could not be read")
            self._problem, answer = "a fault of the reader's own", Answer()
        if self._problem and not answer.error:
            return replace(answer, whole=False, error=f"the answer could not be read: {self._problem}")
        return answer

    def _end(self, body: bytes) -> bytes | None:
        """Let the reader have what is left; a body that is no event stream, without its coding. None without one."""
        if self._events is not None:
            event = self._events.finish()
            if event is not None and self.ended is None:
                self._reader.event(event)
        elif self._decoder is not None:
            said = body if self._decoder.plain else b"".join(self._said)
            if not said.startswith(_UNDECLARED):
                self._reader.body(said)
                return said
            events = EventReader()
            for event in (*events.feed(said), events.finish()):
                if event is None or self._reader.event(event):
                    break
        return None

    def _looked_at(self, answer: Answer, said: bytes | None, status: int) -> Answer:
        """What the reader made of a body, with what anybody can see in it."""
        if said is None:
            return answer
        # A redirect is nothing that a reader of answers knows.
        failed = status >= 400 or (status >= 300 and bool(answer.error))
        if not said:
            empty = failed and not answer.whole
            return replace(answer, whole=self._framed, error=f"HTTP {status}") if empty else answer
        recognised = answer.whole and answer.error
        if answer.whole and self._json and is_cut(said, thoroughly=failed or not self._framed):
            answer = replace(answer, whole=False)
        if failed and not recognised:
            # No error of the protocol's: somebody else's, or half of one.
            cut = (self._json or said.lstrip()[:2] in (b'{"', b"[{")) and is_cut(said, thoroughly=True)
            where = "it breaks off: " if cut else ""
            return replace(answer, whole=not cut, error=f"HTTP {status}: {where}{told(said)}".rstrip(": "))
        if answer.error and not answer.whole and self._framed and said.lstrip()[:1] == b"{":
            # All of it came, though it is no answer of the protocol's.
            return replace(answer, whole=not is_cut(said, thoroughly=True))
        return answer
