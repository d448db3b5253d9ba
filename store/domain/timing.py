"""When the pieces of an answer came, as it is kept: for replay at the recorded pace, and for the times between events.

Two numbers a piece, each as its difference to the piece before in LEB128 (seven bits a byte, low ones first, the high
bit set in all but the last): bytes so far, and microseconds since the request went out.
"""

from collections.abc import Iterable

Timing = list[tuple[int, float]]
"""For each piece as received: the bytes of the answer's body so far, it included, and the seconds since the request
went out."""


def encode(timing: Iterable[tuple[int, float]]) -> bytes:
    """The bytes of it. Time is kept to the microsecond; a clock that went back stood still. ValueError when the bytes
    so far get fewer."""
    data = bytearray()
    size, at = 0, 0
    for now, seconds in timing:
        if now < size:
            raise ValueError(f"an answer of {size} bytes has shrunk to {now}")
        then = max(at, round(seconds * 1_000_000))
        for number in (now - size, then - at):
            while number > 0x7F:
                data.append(number & 0x7F | 0x80)
                number >>= 7
            data.append(number)
        size, at = now, then
    return bytes(data)


def decode(data: bytes) -> Timing:
    """Back from `encode`. ValueError when the bytes are none of its."""
    numbers: list[int] = []
    number, shift = 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number, shift = 0, 0
    if shift or len(numbers) % 2:
        raise ValueError("the timing of an answer ends in the middle")
    timing: Timing = []
    size, at = 0, 0
    for more, later in zip(numbers[::2], numbers[1::2], strict=True):
        size, at = size + more, at + later
        timing.append((size, at / 1_000_000))
    return timing
