"""Bringing up to date what searches find by, and nobody else needs."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from store import error_words, zones
from store.domain.query import Query
from store.errors import StoreError

if TYPE_CHECKING:
    from store.database import Store


def keep_up(store: "Store", going: Callable[[], bool], query: Query | None = None) -> None:
    """Put all that has come since the last time into the words of errors and the zones of passages, as long as it is
    `going`, with pauses in which others write. A store that can't be written stays as it is, and is searched all the
    same. With a `query` only what finds for that one is written."""
    more_zones = partial(zones.catch_up, read=zones.Read())
    with suppress(StoreError):
        for catch_up in (error_words.catch_up, more_zones):
            if query is not None and query.errors is not (catch_up is error_words.catch_up):
                continue
            while going():
                began = time.monotonic()
                if not store.write(catch_up):
                    break
                time.sleep(min(max(time.monotonic() - began, 0.002), 0.1))
