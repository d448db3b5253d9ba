"""`export`: a run for other programs, as OpenTelemetry spans or as lines of JSON."""

import json
import os
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.calls import facts
from app.commands import Command, add_run
from app.context import Context, find_run
from app.failure import CommandError, Exit
from app.output import counted, note

if TYPE_CHECKING:
    from backends.export import Endpoint
    from store.database import Store
    from store.domain.tape import Call

ATTEMPTS = 6
"""How often a batch is sent before the endpoint counts as down: about half a minute."""

_MORE = """\
otlp is OpenTelemetry's GenAI conventions: a line of OTLP/JSON for each batch of spans, as the collector's file exporter
writes and its otlpjsonfile receiver reads; or, with --endpoint, OTLP/HTTP to a collector, Langfuse, Phoenix, Logfire.
What was said is in it with --content alone. Headers, such as a key, come from OTEL_EXPORTER_OTLP_HEADERS.

jsonl is an object for each call: the facts of `multitrack calls --json`, the headers, the request's body and the
answer's messages.

Keys of known formats are hidden in both. Exporting a run again gives the same ids."""


def _configure(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--format", choices=("otlp", "jsonl"), default="otlp", help="otlp by default")
    parser.add_argument("--output", metavar="FILE", help="where it is written; - is standard output")
    parser.add_argument("--endpoint", metavar="URL", help="send the spans there instead (otlp)")
    parser.add_argument("--content", action="store_true", help="with what was said (otlp; jsonl always has it)")


def _export(context: Context, options: Namespace) -> int:
    if (options.output is None) == (options.endpoint is None):
        raise CommandError("say where it goes: --output FILE, or --endpoint URL.")
    if options.endpoint is not None and options.format != "otlp":
        raise CommandError("an endpoint takes --format otlp alone.")
    with context.store() as store:
        run = find_run(store, options.run).id
        if options.endpoint is not None:
            return _send(context, store, run, options)
        if options.format == "jsonl":
            count, thing = _write(options.output, _lines(store, run)), "call"
        else:
            count, thing = _write_spans(context, store, run, options), "span"
    if options.output != "-":
        note(f"{counted(count, thing)} of run {run} in {options.output}.")
    return Exit.FINE


def _write_spans(context: Context, store: "Store", run: str, options: Namespace) -> int:
    from backends.export import batches, json_line, spans_of

    count = 0

    def lines() -> Iterator[str]:
        nonlocal count
        for batch in batches(spans_of(store, run, content=options.content), context.environ):
            count += len(batch.resource_spans[0].scope_spans[0].spans)
            yield json_line(batch)

    _write(options.output, lines())
    return count


def _lines(store: "Store", run: str) -> Iterator[str]:
    from store.tapes import each

    for call in each(store, run):
        yield json.dumps({**facts(call), **_content(store, call)})


def _content(store: "Store", call: "Call") -> dict[str, Any]:
    from store.domain.secrets import masked
    from store.tapes import answers, request, request_body

    try:
        body = request(store, call)
    except ValueError:
        body = (request_body(store, call) or b"").decode("utf-8", "replace")
    told = {
        "request_headers": call.request_headers,
        "request": body,
        "answers": [message.message for message in answers(store, call)],
        "response_headers": call.response_headers,
        "error": call.error,
    }
    return {name: masked(value) for name, value in told.items()}


def _write(output: str, lines: Iterable[str]) -> int:
    """Write lines as they come; how many. A file is there when all of it is, for its user alone."""
    if output == "-":
        return _written(sys.stdout, lines)
    file = Path(output)
    try:
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except FileNotFoundError as error:
        raise CommandError(f"there is no folder {file.parent}.", Exit.ENVIRONMENT) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            count = _written(stream, lines)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return count


def _written(stream: Any, lines: Iterable[str]) -> int:
    count = 0
    for count, line in enumerate(lines, 1):  # noqa: B007 - the last one is the result
        stream.write(line + "\n")
    return count


def _send(context: Context, store: "Store", run: str, options: Namespace) -> int:
    from backends.export import EndpointError, batches, endpoint_of, spans_of

    url = options.endpoint
    if urlsplit(url).path in ("", "/"):
        url = f"{url.rstrip('/')}/v1/traces"
    sent = refused = 0
    try:
        endpoint = endpoint_of(context.environ, url)
        assert endpoint is not None
        for batch in batches(spans_of(store, run, content=options.content), context.environ):
            count = len(batch.resource_spans[0].scope_spans[0].spans)
            rejected = _sent(endpoint, batch)
            sent, refused = sent + count - rejected, refused + rejected
    except EndpointError as error:
        after = f", after {counted(sent, 'span')} had been sent" if sent else ""
        raise CommandError(f"{error}{after}. Sending again gives the same ids.", Exit.ENVIRONMENT) from error
    note(f"{counted(sent, 'span')} of run {run} sent to {endpoint.name}.")
    if refused:
        note(f"{counted(refused, 'span')} were refused there.")
    return Exit.UNSOLVED if refused else Exit.FINE


def _sent(endpoint: "Endpoint", batch: Any) -> int:
    from backends.export import EndpointError, pause_before

    attempt = 0
    while True:
        try:
            return endpoint.send(batch)
        except EndpointError as error:
            attempt += 1
            if not error.again or attempt == ATTEMPTS:
                raise
            time.sleep(pause_before(attempt - 1, error.pause))


COMMANDS = (Command("export", "A run for other programs: OpenTelemetry spans, or JSON.", _export, _configure, _MORE),)
