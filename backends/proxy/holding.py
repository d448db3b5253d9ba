"""How much of an answer may go on before its record is committed: everything but its end."""


class Hold:
    """The bytes of one body that came and have not gone on.

    - An event stream is held from the first byte of its last event (what may be one, while its name is unknown).
    - A body with a length is held at its last byte.
    - Any other at its last piece, whatever it is: it goes on when the next one shows that it was not the last.

    With `all_of_it`, nothing goes on.
    """

    def __init__(self, length: int | None, *, all_of_it: bool = False) -> None:
        self._length = length
        self._all_of_it = all_of_it
        self._kept = bytearray()
        self._came = 0

    def take(self, piece: bytes, safe: int | None) -> bytes:
        """Take what came, give what may go. `safe`, for an event stream that is understood, is the offset in the body
        that its last event can't begin before."""
        before, self._came = self._came, self._came + len(piece)
        if safe == self._came and self._length is None and not self._kept and not self._all_of_it:
            return piece
        self._kept += piece
        if self._all_of_it:
            return b""
        if safe is None:
            safe = before if self._length is None else self._came
        if self._length is not None:
            safe = min(safe, self._length - 1)
        go = max(safe - (self._came - len(self._kept)), 0)
        out = bytes(self._kept[:go])
        del self._kept[:go]
        return out

    def rest(self) -> bytes:
        """What is held back, to be sent when the record is committed."""
        return bytes(self._kept)
