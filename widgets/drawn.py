"""Rows that are drawn once and painted again and again."""

from collections.abc import Iterable, Sequence

from rich.segment import Segment
from textual.cache import FIFOCache
from textual.strip import Strip

_CACHES = {
    "_divide_cache": 4,
    "_crop_cache": 16,
    "_style_cache": 16,
    "_filter_cache": 4,
    "_line_length_cache": 4,
    "_crop_extend_cache": 4,
    "_offsets_cache": 4,
}
"""Textual's own, and how much each keeps."""


class Drawn(Strip):
    """A strip that makes each of its caches when that is first used. Most are painted as they are and need none, and to
    make all seven takes longer than all else that is done for a row."""

    __slots__ = ()

    def __init__(self, segments: list[Segment], cell_length: int) -> None:
        self._segments = segments
        self._cell_length = cell_length
        self._render_cache = self._link_ids = self._cell_count = None

    def __getattr__(self, name: str) -> object:
        if name not in _CACHES:
            raise AttributeError(name)
        cache: FIFOCache[object, object] = FIFOCache(_CACHES[name])
        setattr(self, name, cache)
        return cache

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        # Where nothing stands over it, it is one piece. To remember that would make a ring of it, which the garbage
        # collector alone could clear away.
        cuts = list(cuts)
        return [self] if cuts == [self._cell_length] else super().divide(cuts)
