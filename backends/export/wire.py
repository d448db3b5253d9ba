"""Spans as OTLP: protobuf for a collector, and JSON lines for a file, as the collector's own file exporter writes."""

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from backends.export.genai import VERSION
from backends.export.span import Span, Value

SPANS = 200
"""The most spans of a batch."""

BYTES = 1_000_000
"""About the bytes after which a batch is closed: collectors take some megabytes."""


def batches(spans: Iterable[Span], environ: Mapping[str, str] | None = None) -> "Iterator[ExportTraceServiceRequest]":
    """Spans as requests to a collector, some at a time. `environ` may name the service and more about it, in
    OpenTelemetry's own variables."""
    given = environ or {}
    encoded: list[trace_pb2.Span] = []
    size = 0
    for span in spans:
        one = _span(span)
        encoded.append(one)
        size += one.ByteSize()
        if len(encoded) >= SPANS or size >= BYTES:
            yield request(encoded, given)
            encoded, size = [], 0
    if encoded:
        yield request(encoded, given)


def request(spans: Sequence[trace_pb2.Span], environ: Mapping[str, str]) -> "ExportTraceServiceRequest":
    """A request to a collector."""
    made = ExportTraceServiceRequest()
    of_resource = made.resource_spans.add()
    for name, value in resource(environ).items():
        of_resource.resource.attributes.append(_attribute(name, value))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "multitrack"
    of_scope.scope.version = version("multitrack")
    of_scope.scope.attributes.append(_attribute("multitrack.semconv.gen_ai", VERSION))
    of_scope.spans.extend(spans)
    return made


def resource(environ: Mapping[str, str]) -> dict[str, str]:
    """Who made the spans: us, or what OpenTelemetry's variables say."""
    said = {"service.name": "multitrack", "service.version": version("multitrack")}
    for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            said[name.strip()] = unquote(value.strip())
    if name := environ.get("OTEL_SERVICE_NAME", "").strip():
        said["service.name"] = name
    return said


def json_line(batch: "ExportTraceServiceRequest") -> str:
    """A batch as a line of OTLP's JSON: ids in hexadecimal, enums as numbers, 64-bit integers as text."""
    value: dict[str, Any] = MessageToDict(batch, use_integers_for_enums=True)
    for of_resource in value.get("resourceSpans", ()):
        for of_scope in of_resource.get("scopeSpans", ()):
            for span in of_scope.get("spans", ()):
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = b64decode(span[name]).hex()
    return json.dumps(value, separators=(",", ":"))


def _span(span: Span) -> trace_pb2.Span:
    made = trace_pb2.Span(
        trace_id=span.trace,
        span_id=span.id,
        parent_span_id=span.parent,
        name=_text(span.name),
        kind=trace_pb2.Span.SpanKind.ValueType(span.kind),
        start_time_unix_nano=_nanoseconds(span.start),
        end_time_unix_nano=_nanoseconds(max(span.end, span.start)),
    )
    made.attributes.extend(_attribute(name, value) for name, value in span.attributes.items() if value is not None)
    if span.error is not None:
        made.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        made.status.message = _text(span.error)
    return made


def _attribute(name: str, value: Value) -> KeyValue:
    return KeyValue(key=name, value=_value(value))


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=_text(value))
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=_text(item)) for item in value]))


def _nanoseconds(seconds: float) -> int:
    # A double has no nanoseconds of our time; to the microsecond it says what was measured.
    return round(seconds * 1e6) * 1000


def _text(text: str) -> str:
    """Text that protobuf takes: it has no form for a lone surrogate."""
    return text.encode("utf-8", "replace").decode()
