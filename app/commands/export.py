"""`export`: a run as a file of our own, or for other programs as OpenTelemetry spans or lines of JSON."""

import json
import os
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
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
tape is everything of the run in one file, which `multitrack import` takes into another store (docs/tapes.md).

otlp is OpenTelemetry's GenAI conventions: a line of OTLP/JSON for each batch of spans, as the collector's file exporter
writes and its otlpjsonfile receiver reads; or, with --endpoint, OTLP/HTTP to a collector, Langfuse, Phoenix, Logfire.
What was said is in it with --content alone. Headers, such as a key, come from OTEL_EXPORTER_OTLP_HEADERS.

jsonl is an object for each call: the facts of `multitrack calls --json`, the headers, the request's body and the
answer's messages.

Keys of known formats are hidden in all of them. Exporting a run again gives the same bytes."""


def _configure(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--format", choices=("tape", "otlp", "jsonl"), help="tape by default; otlp with --endpoint or --content"
    )
    parser.add_argument("--output", metavar="FILE", help="where it is written; - is standard output")
    parser.add_argument("--endpoint", metavar="URL", help="send the spans there instead (otlp)")
    parser.add_argument("--content", action="store_true", help="with what was said (otlp; jsonl always has it)")


def _export(context: Context, options: Namespace) -> int:
    if (options.output is None) == (options.endpoint is None):
        raise CommandError("say where it goes: --output FILE, or --endpoint URL.")
    kind = options.format or ("otlp" if options.endpoint is not None or options.content else "tape")
    if options.endpoint is not None and kind != "otlp":
        raise CommandError("an endpoint takes --format otlp alone.")
    with context.store() as store:
        run = find_run(store, options.run).id
        if options.endpoint is not None:
            return _send(context, store, run, options)
        if kind == "tape":
            return _write_tape(context, store, run, options.output)
        if kind == "jsonl":
            count, thing = _write(options.output, _lines(store, run)), "call"
        else:
            count, thing = _write_spans(context, store, run, options), "span"
    if options.output != "-":
        note(f"{counted(count, thing)} of run {run} in {options.output}.")
    return Exit.FINE


def _write_tape(context: Context, store: "Store", run: str, output: str) -> int:
    from app.tapefiles import write_tape

    if output == "-":
        if sys.stdout.isatty():
            raise CommandError("a tape is no text for a terminal: name a file with --output.")
        sys.stdout.flush()
        write_tape(context.home, store, run, sys.stdout.buffer)
        return Exit.FINE
    with _beside(output, "wb") as stream:
        seal = write_tape(context.home, store, run, stream)
    parts = (("call", "call"), ("node", "node"), ("event", "event"))
    counts = ", ".join(counted(seal.counts.get(name, 0), thing) for name, thing in parts)
    note(f"Run {run} in {output}: {counts}. Its digest is {seal.digest}.")
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
    """Write lines as they come; how many."""
    if output == "-":
        return _written(sys.stdout, lines)
    with _beside(output, "w") as stream:
        return _written(stream, lines)


@contextmanager
def _beside(output: str, mode: Literal["w", "wb"]) -> Iterator[IO[Any]]:
    """A file that is there when all of it is, for its user alone."""
    file = Path(output)
    try:
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except FileNotFoundError as error:
        raise CommandError(f"there is no folder {file.parent}.", Exit.ENVIRONMENT) from error
    except OSError as error:
        raise CommandError(f"{file} can't be written ({error.strerror}).", Exit.ENVIRONMENT) from error
    try:
        with os.fdopen(handle, mode, encoding=None if mode == "wb" else "utf-8") as stream:
            yield stream
        if file.is_dir():
            raise CommandError(f"{file} is a folder: name a file in it.")
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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


COMMANDS = (
    Command("export", "A run as one file; or for other programs, as spans or JSON.", _export, _configure, _MORE),
)
