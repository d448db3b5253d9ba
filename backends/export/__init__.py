"""Tapes as others read them: OpenTelemetry spans, in a file or on their way to a collector. The face of the trade.

    for batch in batches(spans_of(store, run, content=False)):
        send(batch)

Names are loaded when they are first asked for: protobuf takes a while, and few need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.export.endpoint import Endpoint, EndpointError, endpoint_of, pause_before
    from backends.export.live import Exporter, exported
    from backends.export.run import spans_of
    from backends.export.wire import batches, json_line

__all__ = [
    "Endpoint",
    "EndpointError",
    "Exporter",
    "batches",
    "endpoint_of",
    "exported",
    "json_line",
    "pause_before",
    "spans_of",
]

_HOMES = {
    "Endpoint": "endpoint",
    "EndpointError": "endpoint",
    "Exporter": "live",
    "batches": "wire",
    "endpoint_of": "endpoint",
    "exported": "live",
    "json_line": "wire",
    "pause_before": "endpoint",
    "spans_of": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
