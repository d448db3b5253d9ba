"""What a search costs over a run of a million nodes: until the first results are there, and until it has looked at all.

    python -m bench.search [--nodes N] [--store FILE] [--json]

The run is that of `bench.bigrun`, its words put into the index with it: most of them in many places, as in real tapes,
some in few and one in a single place. Each query is asked some times; the median and the most are told, in milliseconds
of wall time and of CPU, after one that nobody waits for (the file is in memory then, as it is for who types).
"""

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench.bigrun import RUN, make
from store.blobs import compress, decompress
from store.connecting import connect

QUERIES = (
    "schedules",  # in every turn
    "oversold schedules",
    '"the ledger is written twice"',
    "sched*",
    "needle",  # in a single place, early in the run
    "nowhere",
    "invoice agent:3.7",
    "invoice gen:2",
    "error:",
    "error:broken",
    "error:nowhere",
    "tool:run",
    "tool:run invoice",
    "tool:nowhere",
    "cost:>0.001 schedules",
    "cost:>0.001",
    "tool:nowhere schedules",
    "tool:no*",
    "cost:>5",
    "cost:>99 schedules",
    "model:nowhere",
    "model:nowhere schedules",
    "gen:77",
    "agent:A7 error:nowhere",
    "agent:3.7 error:nowhere",
    "agent:3.7 tool:nowhere",
    "error: tool:nowhere",
    "agent:strategy-3 gen:1",
    "model:sonnet schedules",
    # Of what is there, but rarely or never together.
    "agent:1.7 tool:run",
    "gen:1 tool:run",
    "tool:edit",
    "agent:1.7 tool:edit",
    "error: tool:edit",
    "tool:run cost:>1",
    "tool:edit cost:>1",
    "tool:run model:haiku",
    "tool:edit model:haiku",
    "error: cost:>1",
    "error:broken cost:>1",
    "error: model:haiku",
    "cost:>1",
    "model:haiku",
    "model:haiku cost:>1",
    "gen:5 model:haiku",
    "agent:1.7 model:haiku",
    "agent:1.7 cost:>1",
    "schedules cost:>1",
    "needle cost:>1",
    "schedules model:haiku",
    "needle model:haiku",
    "schedules tool:edit",
    "needle tool:edit",
    "schedules agent:1.7",
    "schedules agent:1.7 tool:edit",
)
DEAR_EVERY, EDIT_EVERY = 100_003, 500
"""One call of so many costs more; one turn of so many has another tool."""
ROUNDS = 3
PAGE, MANY = 50, 1000
SUBJECTS = ["invoice", "refund", "payment", "stock", "basket", "voucher", "parcel", "ledger", "account", "tariff"]
WORDS = ("text", "call", "node", "block", "run", "generation", "lane", "role", "kind")


def index(path: Path) -> int:
    """Put the words of the run's turns into the index; how many passages."""
    with closing(connect(path)) as driver:
        driver.execute("PRAGMA synchronous = OFF")
        driver.execute("BEGIN")
        calls = driver.execute("SELECT id, tail, answer, generation, lane, rowid FROM calls ORDER BY rowid").fetchall()
        _rare(driver)
        marks = ", ".join("?" * len(WORDS))
        driver.executemany(f"INSERT INTO passages ({', '.join(WORDS)}) VALUES ({marks})", _passages(calls))
        driver.execute("COMMIT")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(driver.execute("SELECT count(*) FROM passages_docsize").fetchone()[0])


def _rare(driver: "sqlite3.Connection") -> None:
    """Some calls that cost more, a model that a few subagents of the first generation had, and a tool that one of the
    second used now and then."""
    driver.execute(f"UPDATE calls SET usd = 2.0 WHERE rowid % {DEAR_EVERY} = 7")
    driver.execute("UPDATE calls SET model = 'claude-haiku-4-5' WHERE generation = 1 AND lane <= 5")
    driver.execute(
        'UPDATE events SET data = replace(data, \'"name":"run"\', \'"name":"edit"\') WHERE generation = 2 AND lane = 3 '
        f"AND kind IN ('tool.started', 'tool.finished') AND json_extract(data, '$.turn') % {EDIT_EVERY} = 0"
    )
    (message,) = driver.execute("SELECT message FROM nodes WHERE key GLOB 'a00020003*' LIMIT 1").fetchone()
    edited = compress(decompress(message).replace(b'"run"', b'"edit"'))
    driver.execute(
        "UPDATE nodes SET message = ? WHERE key IN (SELECT answer FROM calls WHERE generation = 2 AND lane = 3 "
        f"AND CAST(started AS INTEGER) % {EDIT_EVERY} = 0)",
        (edited,),
    )


def _passages(calls: list[tuple[str, str, str, int, int, int]]) -> Iterator[tuple[object, ...]]:
    for number, (call, tail, answer, generation, lane, _) in enumerate(calls):
        subject = SUBJECTS[number * 2_654_435_761 % 2**32 % len(SUBJECTS)]
        result = f"oversold: 2 of 50 schedules\n{subject} {number % 9973} is missing\n1 broken"
        if number == len(calls) // 7:
            result += "\nneedle"
        where = (RUN, generation, lane)
        yield (result, call, tail, 0, *where, "user", "tool_result")
        text = f"The ledger is written twice when the answer is late. I look at the {subject} next."
        yield (text, call, answer, 0, *where, "assistant", "text")
        asked = '{\n  "command": "python check.py --schedules 50"\n}'
        yield (asked, call, answer, 1, *where, "assistant", "tool_call")


def measured(path: Path, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """For each query: milliseconds until the first page, and until all of the run was looked at or 1,000 are found."""
    from app.turning import is_wrong
    from store.database import open_store
    from store.domain.query import parse
    from store.finding import Finder
    from store.finding.keeping import keep_up

    found: dict[str, dict[str, float]] = {}
    with open_store(path) as store:
        # As it begins in the background when somebody is about to search.
        keep_up(store, lambda: True)
        for text in QUERIES:
            first: list[float] = []
            spent: list[float] = []
            whole: list[float] = []
            hits = 0
            for number in range(rounds + 1):
                finder = Finder(store, parse(text), is_wrong)
                began, used = time.perf_counter(), time.process_time()
                # None found in this look, the next one follows at once: whoever waits sees nothing yet.
                page = finder.more(PAGE)
                there, cpu = time.perf_counter(), time.process_time() - used
                hits = len(page)
                while not finder.done and hits < MANY:
                    hits += len(finder.more(PAGE))
                if number:
                    first.append((there - began) * 1000)
                    spent.append(cpu * 1000)
                    whole.append((time.perf_counter() - began) * 1000)
            found[text] = {
                "first_ms": statistics.median(first),
                "cpu_ms": statistics.median(spent),
                "most_ms": max(first),
                "all_ms": statistics.median(whole),
                "hits": hits,
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="a store that an earlier time made and left")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="multitrack-bench-") as folder:
        file = given.store or Path(folder) / "multitrack.db"
        if not file.exists():
            make(file, given.nodes)
            index(file)
        found = measured(file)
    if given.json:
        print(json.dumps(found))
        return
    print(f"{'query':<34}{'first 50, ms':>14}{'CPU':>8}{'at most':>10}{'1,000 or all':>14}{'hits':>8}")
    for text, took in found.items():
        print(
            f"{text:<34}{took['first_ms']:>14.1f}{took['cpu_ms']:>8.1f}{took['most_ms']:>10.1f}{took['all_ms']:>14.1f}{took['hits']:>8,.0f}"
        )


if __name__ == "__main__":
    main()
