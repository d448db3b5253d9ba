"""An OTLP/HTTP endpoint: where OpenTelemetry's own variables say, and how it is asked, in protobuf.

The rules are those of https://opentelemetry.io/docs/specs/otlp/ and .../protocol/exporter/.
"""

import gzip
import random
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TIMEOUT = 10.0
"""Seconds that a request may take, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""

LONGEST_PAUSE = 60.0
"""Seconds between two attempts at most."""

_AGAIN = frozenset({429, 502, 503, 504})
"""The answers after which the same may be sent again."""

_BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class EndpointError(Exception):
    """Spans could not be sent, or the endpoint is none. `again` when the same may be tried later, after `pause` seconds
    where the endpoint has said how long."""

    def __init__(self, message: str, *, again: bool = False, pause: float | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.pause = pause


@dataclass(frozen=True)
class Endpoint:
    """Where spans go. `headers` may hold a key: they are never shown."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = TIMEOUT
    compressed: bool = True

    @property
    def name(self) -> str:
        """The address without whatever secret is in it."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

    def send(self, batch: "ExportTraceServiceRequest") -> int:
        """Send a batch; how many of its spans were refused. EndpointError."""
        body = batch.SerializeToString()
        headers = {"User-Agent": "multitrack", **self.headers, "Content-Type": "application/x-protobuf"}
        if self.compressed:
            body, headers["Content-Encoding"] = gzip.compress(body, 6), "gzip"
        asked = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310 - http and https alone
        try:
            with _opener.open(asked, timeout=self.timeout) as answer:
                return _refused(answer.read(1_000_000))
        except urllib.error.HTTPError as error:
            with error:
                again = error.code in _AGAIN
                pause = _pause(error.headers.get("Retry-After")) if again else None
                raise EndpointError(f"{self.name} answered {error.code}", again=again, pause=pause) from error
        except (OSError, HTTPException) as error:
            said = getattr(error, "reason", None) or error
            raise EndpointError(f"{self.name} could not be reached: {said}", again=True) from error


def endpoint_of(environ: Mapping[str, str], url: str = "") -> Endpoint | None:
    """The endpoint that OpenTelemetry's variables name, or this one, with their headers and settings; None when there
    is none. EndpointError for one that can't be used."""
    if not url:
        if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return None
        if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in ("", "otlp"):
            return None
        url = environ.get(_TRACES, "").strip()
        if not url and (base := environ.get(_BASE, "").strip()):
            url = f"{base.rstrip('/')}/v1/traces"
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError("the endpoint for spans is no http:// or https:// address")
    protocol = _setting(environ, "PROTOCOL") or "http/protobuf"
    if protocol != "http/protobuf":
        raise EndpointError(f"spans are sent as http/protobuf alone, not as {protocol}: mostly that is port 4318")
    timeout = _setting(environ, "TIMEOUT")
    return Endpoint(
        url,
        _headers(_setting(environ, "HEADERS")),
        int(timeout) / 1000 if timeout.isdecimal() and int(timeout) else TIMEOUT,
        _setting(environ, "COMPRESSION").lower() != "none",
    )


def wants_content(environ: Mapping[str, str]) -> bool:
    """What was said goes along with the spans that are sent live."""
    return environ.get(_CONTENT, "").strip().lower() in ("true", "1", "span_only", "span_and_event")


def pause_before(attempt: int, said: float | None) -> float:
    """Seconds to wait before sending again, after so many attempts: what the endpoint said, else ever longer."""
    if said is not None:
        return min(said, LONGEST_PAUSE)
    return float(min(2.0**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load


def _setting(environ: Mapping[str, str], name: str) -> str:
    own = environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}", "").strip()
    return own or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def _headers(text: str) -> dict[str, str]:
    found = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            value = unquote(value.strip())
            if not (name + value).isprintable():
                raise EndpointError("a header for the endpoint of spans has control characters in it")
            found[name.strip()] = value
    return found


def _pause(text: str | None) -> float | None:
    """Retry-After, in seconds or as a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        from datetime import UTC, datetime

        return max((at - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _refused(body: bytes) -> int:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer = ExportTraceServiceResponse()
    try:
        answer.ParseFromString(body)
    except DecodeError:
        # Some answer with JSON, or with nothing that is asked for: it was taken all the same.
        return 0
    return int(answer.partial_success.rejected_spans)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: headers with a key go to nobody else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Any:
        return None


_opener = urllib.request.build_opener(_Stay)
