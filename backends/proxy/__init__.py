"""The recording proxy. The face of the trade.

    proxy = Proxy(store, upstreams={"anthropic": Upstream("https://api.anthropic.com", key)})
    async with serve(proxy) as address:
        ...  # clients use address.base_url, with a key made by `store.keys.mint`

Names are loaded when they are first asked for: most of who imports this only wants prices.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.proxy.admission import Admit, BeforeTurn, Refusal
    from backends.proxy.app import Proxy
    from backends.proxy.decoding import CannotDecodeError, Decoder
    from backends.proxy.playing import Spoken, spoken
    from backends.proxy.prices import Extras, Prices
    from backends.proxy.relay import HUNG_UP
    from backends.proxy.replay import Tape
    from backends.proxy.routes import KNOWN, Upstream
    from backends.proxy.server import Address, serve
    from backends.proxy.upstream import Timeouts

__all__ = [
    "HUNG_UP",
    "KNOWN",
    "Address",
    "Admit",
    "BeforeTurn",
    "CannotDecodeError",
    "Decoder",
    "Extras",
    "Prices",
    "Proxy",
    "Refusal",
    "Spoken",
    "Tape",
    "Timeouts",
    "Upstream",
    "serve",
    "spoken",
]

_HOMES = {
    "Address": "server",
    "Admit": "admission",
    "BeforeTurn": "admission",
    "CannotDecodeError": "decoding",
    "Decoder": "decoding",
    "Extras": "prices",
    "HUNG_UP": "relay",
    "KNOWN": "routes",
    "Prices": "prices",
    "Proxy": "app",
    "Refusal": "admission",
    "Spoken": "playing",
    "Tape": "replay",
    "Timeouts": "upstream",
    "Upstream": "routes",
    "serve": "server",
    "spoken": "playing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
