"""A store with one run as large as wanted, for benchmarks: as many nodes as asked for, with the calls, events and
tapes that belong to them. The first turn is recorded through the store's own API; the others are made from its rows in
SQL: a million nodes take about a minute. Their keys are no digests: `multitrack verify` would say so.

    python -m bench.bigrun FILE [--nodes N] [--generations N] [--lanes N]
"""

import argparse
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from store import blobs, events, runs, tapes
from store.connecting import connect
from store.database import open_store
from store.domain.events import GenerationDesigned, RunCreated, SubagentEnded, SubagentLaunched
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.states import Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task

RUN = "bench"
NODES_A_TURN = 2
"""The tool's result that is asked about, and the answer."""
WRONG_EVERY = 50
"""One tool call of so many fails."""

ASK = {"role": "user", "content": "Make the check pass."}
ANSWER = {
    "role": "assistant",
    "content": [
        {"type": "text", "text": "The ledger is written twice when the answer is late. I look at the retry next."},
        {"type": "tool_use", "id": "toolu_1", "name": "run", "input": {"command": "python check.py --schedules 50"}},
    ],
}
REPLY = {
    "role": "user",
    "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "oversold: 2 of 50 schedules\n1 broken"}],
}
KINDS = ("turn.started", "call.started", "call.finished", "tool.started", "tool.finished")


def make(path: Path, nodes: int, generations: int = 5, lanes: int = 20) -> int:
    """Write the store; how many turns each subagent has."""
    turns = max(nodes // (NODES_A_TURN * generations * lanes), 1)
    digest = _first(path)
    with closing(connect(path)) as driver:
        # Nothing but this program reads it, and it can be made again.
        driver.execute("PRAGMA synchronous = OFF")
        driver.execute("PRAGMA cache_size = -200000")
        driver.execute("BEGIN")
        _events(driver, digest, generations, lanes, turns)
        _tapes(driver, generations, lanes, turns)
        driver.execute("COMMIT")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return turns


def _first(path: Path) -> str:
    """A turn through the front door: what the others are made from. The digest of its tool's output."""
    who = SubagentId(RUN, 1, 1)
    request = {"model": "claude-sonnet-4-5", "max_tokens": 8192, "messages": [ASK, ANSWER, REPLY]}
    start = tapes.CallStart("c0", 1.0, RUN, who, "anthropic", "POST", "/v1/messages", json.dumps(request).encode())
    body = json.dumps({**ANSWER, "usage": {"input_tokens": 2100, "output_tokens": 130}}).encode()
    usage = Usage(input=2100, output=130)
    end = tapes.CallEnd(
        "c0", 2.5, 200, complete=True, first_byte=1.3, messages=[ANSWER], stop_reason="tool_use", usage=usage,
        usd=0.008, response=body, headers=(("content-type", "application/json"),),
    )  # fmt: skip
    with open_store(path) as store:
        store.write(lambda c: runs.create(c, RUN, "a run of a million nodes", at=0.0))
        store.write(lambda c: tapes.open_call(c, start))
        store.write(lambda c: tapes.close_call(c, end))
        return store.write(lambda c: blobs.put(c, b"oversold: 2 of 50 schedules\n1 broken\n" * 20))


def _events(driver: sqlite3.Connection, digest: str, generations: int, lanes: int, turns: int) -> None:
    """All that is told, in the order of time: the subagents of a generation take turns."""
    told = {
        "turn.started": "json_object('turn', t, 'thread', '', 'under', '')",
        "call.started": "json_object('call', id, 'model', 'claude-sonnet-4-5', 'parent', '', 'thread', '')",
        "call.finished": "json_object('call', id, 'status', 200, 'stop_reason', 'tool_use', 'usage', json_object("
        "'input', 2100, 'output', 130, 'cache_read', 0, 'cache_write', 0, 'reasoning', 0), 'usd', 0.008, "
        "'seconds', 1.5, 'error', '', 'parent', '')",
        "tool.started": "json_object('turn', t, 'tool_call', 'toolu_1', 'name', 'run', "
        "'summary', 'run python check.py --schedules 50')",
        "tool.finished": "json_object('turn', t, 'tool_call', 'toolu_1', 'name', 'run', 'ok', json('true'), "
        f"'seconds', 0.4, 'result', '{digest}', "
        f"'summary', iif((t * 7 + l) % {WRONG_EVERY}, '1 broken', 'exit code 1'))",
    }
    payload = " ".join(f"WHEN {number} THEN {sql}" for number, sql in enumerate(told.values()))
    kind = " ".join(f"WHEN {number} THEN '{name}'" for number, name in enumerate(told))
    plans = tuple(
        LanePlan(lane, Strategy(f"strategy-{lane}", "Look at it."), clean=lane == 1) for lane in range(1, lanes + 1)
    )
    task = Task("Make the check pass.", "/home/ada/orders", Check("python check.py"), generations=generations)
    events.append(driver, RUN, [RunCreated(task, "a run of a million nodes", "9f2c1e07a4b3", 7)], at=0.0)
    for generation in range(1, generations + 1):
        events.append(driver, RUN, [GenerationDesigned(plans)], at=0.0, generation=generation)
        for lane in range(1, lanes + 1):
            events.append(
                driver, RUN, [SubagentLaunched("x", "claude-sonnet-4-5")], at=0.0, generation=generation, lane=lane
            )
        driver.execute(
            "INSERT INTO events (at, run, generation, lane, kind, version, data) "
            "WITH RECURSIVE turn(t) AS (VALUES(1) UNION ALL SELECT t + 1 FROM turn WHERE t < ?), "
            "lane(l) AS (VALUES(1) UNION ALL SELECT l + 1 FROM lane WHERE l < ?), "
            "step(s) AS (VALUES(0) UNION ALL SELECT s + 1 FROM step WHERE s < 4), "
            "every AS MATERIALIZED (SELECT t, l, s, 'c' || ? || '-' || l || '-' || t AS id FROM turn, lane, step) "
            f"SELECT t + s / 10.0, ?, ?, l, CASE s {kind} END, 1, CASE s {payload} END FROM every",
            (turns, lanes, generation, RUN, generation),
        )
        spend = Spend(turns, Usage(2100 * turns, 130 * turns), 0.008 * turns, 1.9 * turns)
        for lane in range(1, lanes + 1):
            ended = SubagentEnded(Ending.TURNS, "", spend)
            events.append(driver, RUN, [ended], at=float(turns), generation=generation, lane=lane)


def _tapes(driver: sqlite3.Connection, generations: int, lanes: int, turns: int) -> None:
    """Nodes, their places on tapes, and calls, from the rows of the first turn."""
    driver.execute("DROP TABLE IF EXISTS temp.spots")
    driver.execute(
        "CREATE TEMP TABLE spots AS "
        "WITH RECURSIVE turn(t) AS (VALUES(1) UNION ALL SELECT t + 1 FROM turn WHERE t < ?), "
        "lane(l) AS (VALUES(1) UNION ALL SELECT l + 1 FROM lane WHERE l < ?), "
        "generation(g) AS (VALUES(1) UNION ALL SELECT g + 1 FROM generation WHERE g < ?) "
        "SELECT g, l, t, 'c' || g || '-' || l || '-' || t AS id, printf('%04x%04x%012x', g, l, t) AS spot "
        # In the order of time, as calls are recorded.
        "FROM generation CROSS JOIN turn CROSS JOIN lane",
        (turns, lanes, generations),
    )
    for mark, like, depth in (("b", "tail", "2 * t"), ("a", "answer", "2 * t + 1")):
        before = (
            "CASE t WHEN 1 THEN NULL ELSE printf('a%04x%04x%012x', g, l, t - 1) END" if mark == "b" else "'b' || spot"
        )
        driver.execute(
            f"INSERT INTO nodes (key, parent, depth, role, message) SELECT '{mark}' || spot, {before}, {depth}, "
            f"nodes.role, nodes.message FROM spots, nodes WHERE nodes.key = (SELECT {like} FROM calls WHERE id = 'c0')"
        )
        driver.execute(
            "INSERT INTO tape_nodes (node, run, generation, lane, call) "
            f"SELECT '{mark}' || spot, ?, g, l, id FROM spots",
            (RUN,),
        )
    names = [row[1] for row in driver.execute("PRAGMA table_info(calls)")]
    own = {"id": "spots.id", "generation": "g", "lane": "l", "tail": "'b' || spot", "answer": "'a' || spot",
           "started": "t + 0.1", "first_byte": "t + 0.4", "ended": "t + 1.6", "response_id": "''"}  # fmt: skip
    driver.execute(
        f"INSERT INTO calls ({', '.join(names)}) SELECT {', '.join(own.get(name, f'calls.{name}') for name in names)} "
        "FROM spots, calls WHERE calls.id = 'c0'"
    )
    driver.execute("DELETE FROM calls WHERE id = 'c0'")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--lanes", type=int, default=20)
    given = parser.parse_args()
    began = time.monotonic()
    made = make(given.file, given.nodes, given.generations, given.lanes)
    count = made * given.generations * given.lanes * NODES_A_TURN
    print(f"{count:,} nodes in {given.file}, {time.monotonic() - began:.0f} s")
