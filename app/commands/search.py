"""`search`: places on the tapes that have the words, and are right for the filters."""

import itertools
import sys
import time
import unicodedata
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from app.calls import clock, day
from app.commands import Command, add_json, twin_help, whole
from app.context import Context, find_run
from app.failure import CommandError, Exit
from app.output import counted, emit, money, note, say
from store.domain.safe_text import safe_line

if TYPE_CHECKING:
    from store.domain.marking import Excerpt
    from store.finding import Hit

LIMIT = 20
PAGE = 50
"""Places that are looked for in one go."""
LEAST, MOST = 0.1, 1.0
"""Seconds that are spent, after the answer, on what makes the next one quicker: as many as this one took."""

_MORE = """\
A query is words, "phrases" and beginnings*, all of which a place must have, in any order, and filters:
  error:          what went wrong; error:timeout must have the word
  tool:bash       calls of a tool, and their results
  agent:2.3       a subagent, or all whose strategy's name has the word
  gen:2           a generation; gen:>1 and gen:2-4 are several
  cost:>0.01      calls that cost more, in US dollars; cost:0.01-0.05 lies between
  model:haiku     calls of a model
  run:k7          runs whose name begins so
A filter's word in quotes is a word: "tool:bash". The newest place comes first. In a shell, quote the query as a whole:
multitrack search 'error: "lock timeout" gen:>1'"""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", nargs="+", help="words and filters")
    parser.add_argument("--run", metavar="RUN", help="look at this run alone; by default at all")
    parser.add_argument(
        "--limit", metavar="N", type=whole(1, 10_000), default=LIMIT, help=f"at most so many places ({LIMIT})"
    )
    add_json(parser)


def _search(context: Context, options: Namespace) -> int:
    from app.turning import is_wrong
    from store.domain.query import parse
    from store.finding import Finder
    from store.finding.keeping import keep_up

    text = " ".join(options.query)
    query = parse(text)
    if query.problems or query.empty:
        wrong = "; ".join(query.problems) or "the query is empty"
        raise CommandError(f"{wrong}. `multitrack search --help` has the language.")
    with context.store() as store:
        run = find_run(store, options.run).id if options.run is not None else None
        began = time.monotonic()
        finder = Finder(store, query, is_wrong, runs=None if run is None else [run])
        # One more than is told, to know whether there are more.
        hits = list(itertools.islice(_all(finder), options.limit + 1))
        now = time.monotonic()
        found = _tell(hits, options)
        sys.stdout.flush()
        if query.terms:
            # Who asks here only is to find as quickly as who does in the app.
            end = now + min(max(now - began, LEAST), MOST)
            keep_up(store, lambda: time.monotonic() < end, query)
    return found


def _tell(hits: "list[Hit]", options: Namespace) -> int:
    more, hits = len(hits) > options.limit, hits[: options.limit]
    if options.json:
        emit([facts(hit) for hit in hits])
        return Exit.FINE if hits else Exit.UNSOLVED
    for number, hit in enumerate(hits):
        if number:
            say()
        for line in lines(hit):
            say(line)
    if not hits:
        say("Nothing found.")
    if more:
        note(f"multitrack: there are more than {counted(options.limit, 'place')}; --limit shows more.")
    return Exit.FINE if hits else Exit.UNSOLVED


def _all(finder: Any) -> Iterator["Hit"]:
    while not finder.done:
        yield from finder.more(PAGE)


def facts(hit: "Hit") -> dict[str, Any]:
    """A place as JSON. `time` is in Unix seconds, `cost` that of its call in US dollars, `marks` are pairs of code
    points in `snippet`; what is not known is null."""
    return {
        "run": hit.run,
        "subagent": str(hit.who) if hit.who else None,
        "turn": hit.turn or None,
        "time": hit.at,
        "kind": hit.kind,
        "role": hit.role or None,
        "name": hit.name or None,
        "call": hit.call or None,
        "node": hit.node or None,
        "block": hit.block if hit.node else None,
        "tool_call": hit.tool_call or None,
        "event": hit.seq or None,
        "cost": hit.usd,
        "snippet": hit.excerpt.line,
        "marks": [[*mark] for mark in hit.excerpt.marks],
        "before": [*hit.excerpt.before],
        "after": [*hit.excerpt.after],
    }


def lines(hit: "Hit") -> Iterator[str]:
    """A place in its context, what matched underlined."""
    call = f"  call {hit.call}" if hit.call else ""
    turn = f"  turn {hit.turn}" if hit.turn else ""
    what = hit.kind.replace("_", " ").replace(".", " ")
    name = f" {safe_line(hit.name, 40)}" if hit.name else ""
    cost = f"  {money(hit.usd)}" if hit.usd else ""
    yield f"{hit.who or hit.run}{call}{turn}  {what}{name}  {day(hit.at)} {clock(hit.at)}{cost}"
    for line in hit.excerpt.before:
        yield f"    {safe_line(line)}".rstrip()
    yield from _marked(hit.excerpt)
    for line in hit.excerpt.after:
        yield f"    {safe_line(line)}".rstrip()


def _marked(found: "Excerpt") -> Iterator[str]:
    told, under, at = "", "", 0
    for start, end in [*found.marks, (len(found.line), len(found.line))]:
        for piece, sign in ((found.line[at:start], " "), (found.line[start:end], "^")):
            drawn = _plain(piece)
            told += drawn
            under += sign * sum(1 + (unicodedata.east_asian_width(one) in "WF") for one in drawn)
        at = end
    yield f"  > {told}".rstrip()
    if found.marks:
        yield f"    {under}".rstrip()


def _plain(text: str) -> str:
    from store.domain.safe_text import safe

    return safe(text).replace("\t", " ").replace("\n", " ")


COMMANDS = (Command("search", twin_help("search"), _search, _configure, _MORE),)
