"""What the trace costs: adding one visible node to a live tree of 100,000 that is all unfolded, beside Textual's Tree
in the same run; and opening a run of a million nodes, with the memory that takes.

    python -m bench.tree [--nodes N] [--run-nodes N] [--json]

Each case has a process of its own. CPU is that of the process, from the change until it is painted at 120 × 40. Opening
is measured twice: what is read and folded until the tree stands and until a subagent's first turns are there, then in
the app itself, with all that an app does when it starts, from its start on.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.theme import Theme
from textual.widgets import Tree

import themes
from bench.bigrun import RUN, make
from widgets.ink import InkApp
from widgets.outline import Figures, Item, Outline
from widgets.tracetree import TraceTree

SIZE = (120, 40)
UNDER_EACH = 99
"""Nodes under each of those that are open."""


class Stage(InkApp):
    """One widget under our style sheet."""

    CSS_PATH = str(themes.style_sheet())

    def __init__(self, widget: TraceTree | Tree[None]) -> None:
        super().__init__()
        self._widget = widget
        for fields in themes.load():
            self.register_theme(Theme(**fields))
        self.theme = themes.DARK

    def compose(self) -> ComposeResult:
        yield self._widget


def outline(nodes: int) -> tuple[Outline, Item]:
    """A tree of so many, all unfolded; the last of those that are open."""
    tree = Outline()
    root = Item("root", [("a run", "strong")], open=True)
    tree.add(root)
    turn = root
    for number in range(nodes - 1):
        if number % (UNDER_EACH + 1) == 0:
            turn = Item(f"t{number}", [(f"turn {number}", "text")], open=True, figures=Figures(2100, 0.01, 2.0))
            tree.add(turn, root)
        else:
            tree.add(Item(f"n{number}", [(f"› run step {number}", "tool")], leaf=True), turn)
    return tree, turn


async def ours(nodes: int, rounds: int) -> dict[str, float]:
    """Milliseconds of CPU to add one visible node to our tree."""
    tree, last = outline(nodes)
    widget = TraceTree()
    async with Stage(widget).run_test(size=SIZE) as pilot:
        widget.hold(tree)
        widget.action_cursor(nodes)
        await pilot.pause()
        await pilot.pause()

        def add(number: int) -> None:
            tree.add(Item(f"new {number}", [(f"› one more {number}", "tool")], leaf=True), last)
            widget.grown()
            widget.action_cursor(1)

        return await _measured(pilot.pause, add, rounds)


async def theirs(nodes: int, rounds: int) -> dict[str, float]:
    """The same with Textual's Tree."""
    widget: Tree[None] = Tree("a run")
    widget.root.expand()
    turn = widget.root
    for number in range(nodes - 1):
        if number % (UNDER_EACH + 1) == 0:
            turn = widget.root.add(f"turn {number}", expand=True)
        else:
            turn.add_leaf(f"› run step {number}")
    async with Stage(widget).run_test(size=SIZE) as pilot:
        widget.scroll_end(animate=False)
        await pilot.pause()
        await pilot.pause()

        def add(number: int) -> None:
            turn.add_leaf(f"› one more {number}")
            widget.scroll_end(animate=False)

        return await _measured(pilot.pause, add, rounds)


async def _measured(pause: Callable[[], Any], add: Callable[[int], None], rounds: int) -> dict[str, float]:
    spent: list[float] = []
    for number in range(rounds):
        before = time.process_time()
        add(number)
        await pause()
        spent.append((time.process_time() - before) * 1000)
    return {"median_ms": statistics.median(spent), "most_ms": max(spent), "mib": _mib()}


def opening(store_file: Path) -> dict[str, float]:
    """Milliseconds until the tree of a run stands, until a subagent's first turns are in it, and until turns in the
    middle of it are; memory beside what the libraries take."""
    from app import tracing
    from app.trace import PAGE, Trace
    from store.database import open_store
    from store.domain.ids import SubagentId

    found: dict[str, float] = {}
    with open_store(store_file) as store:
        with store.read() as connection:
            connection.exec_driver_sql("SELECT 1")
        before, began, cpu = _now_mib(), time.perf_counter(), time.process_time()
        trace = Trace(RUN, "a run", tracing.open_run(store, RUN, "a run"))
        found["tree_ms"] = (time.perf_counter() - began) * 1000
        found["tree_cpu_ms"] = (time.process_time() - cpu) * 1000
        who = SubagentId(RUN, 3, 2)
        lane = trace.lanes[who]
        trace.outline.reveal(lane.item)
        trace.outline.open(lane.item)
        trace.take_places(who, tracing.read_places(store, who))
        for first in (0, lane.turns // 2 // PAGE * PAGE):
            window = trace.window(lane, first)
            assert window is not None
            trace.take(tracing.read_page(store, who, first, *window))
            name = "first_turns_ms" if first == 0 else "middle_turns_ms"
            found[name] = (time.perf_counter() - began) * 1000
        found |= {"rows": len(trace.outline.rows), "held": len(trace.outline), "mib": _now_mib() - before}
        began = time.perf_counter()
        for portion in tracing.look_for_wrong(store, RUN, 0, trace.seq):
            trace.found_wrong(portion, trace.seq)
        found["errors"] = sum(len(lane.wrong) for lane in trace.lanes.values())
        found["errors_ms"] = (time.perf_counter() - began) * 1000
        found["mib_with_errors"] = _now_mib() - before
    return found


async def in_the_app(store_file: Path) -> dict[str, float]:
    """Milliseconds from the app's start to its trace of the run, and to a subagent's first turns."""
    from app.screens.traces import TracesScreen
    from app.studio import Studio
    from store.home import Home

    app = Studio(Home(store_file.parent, store_file), RUN, "traces", ascii_only=False)
    began = time.perf_counter()
    found: dict[str, float] = {}
    async with app.run_test(size=SIZE) as pilot:

        async def until(true: Callable[[], bool]) -> float:
            while not true():
                await pilot.pause()
                await asyncio.sleep(0.005)
            return (time.perf_counter() - began) * 1000

        found["screen_ms"] = (time.perf_counter() - began) * 1000
        found["tree_ms"] = await until(lambda: isinstance(app.place, TracesScreen) and app.place.trace is not None)
        screen = app.place
        assert isinstance(screen, TracesScreen)
        assert screen.trace is not None
        trace = screen.trace
        lane = next(lane for lane in trace.lanes.values() if lane.who.generation == 5)
        trace.outline.open(lane.item)
        screen.treeview.grown()
        found["first_turns_ms"] = await until(lambda: not trace.outline.child(lane.item, 0).blank)
        found["mib"] = _mib()
    return found


def _mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _now_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _case(name: str, nodes: int, file: Path) -> dict[str, float]:
    match name:
        case "ours":
            return asyncio.run(ours(nodes, 30))
        case "theirs":
            return asyncio.run(theirs(nodes, 3))
        case "opening":
            return opening(file)
    return asyncio.run(in_the_app(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--run-nodes", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="a store that `bench.bigrun` made")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", choices=("ours", "theirs", "opening", "app"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(_case(given.case, given.nodes, given.store or Path())))
        return
    with tempfile.TemporaryDirectory(prefix="multitrack-bench-") as folder:
        file = given.store or Path(folder) / "multitrack.db"
        if given.store is None:
            make(file, given.run_nodes)
        command = [sys.executable, "-m", "bench.tree", "--nodes", str(given.nodes), "--store", str(file)]
        found = {
            case: json.loads(
                subprocess.run(
                    [*command, "--case", case], check=True, capture_output=True, text=True
                ).stdout.splitlines()[-1]
            )
            for case in ("theirs", "ours", "opening", "app")
        }  # fmt: skip
    if given.json:
        print(json.dumps(found))
        return
    ratio = found["theirs"]["median_ms"] / found["ours"]["median_ms"]
    print(f"adding one visible node to {given.nodes:,}, CPU until painted:")
    for name, case in (("Textual's Tree", "theirs"), ("ours", "ours")):
        print(f"  {name:<16}{found[case]['median_ms']:10.1f} ms  {found[case]['mib']:7.0f} MiB in all")
    print(f"  {ratio:.0f} times cheaper")
    opened, app = found["opening"], found["app"]
    print(f"opening a run of {given.run_nodes:,} nodes:")
    print(f"  the tree stands   {opened['tree_ms']:8.0f} ms, {opened['tree_cpu_ms']:.0f} of them CPU")
    print(f"  first turns       {opened['first_turns_ms']:8.0f} ms")
    print(f"  turns in between  {opened['middle_turns_ms']:8.0f} ms")
    print(
        f"  memory            {opened['mib']:8.1f} MiB, {opened['held']:,.0f} items held of {opened['rows']:,.0f} rows"
    )
    print(f"  all its errors    {opened['errors_ms']:8.0f} ms more, {opened['errors']:,.0f} of them")
    print(f"in the app, from its start: screen {app['screen_ms']:.0f} ms, tree {app['tree_ms']:.0f} ms, "
          f"first turns {app['first_turns_ms']:.0f} ms, {app['mib']:.0f} MiB in all")  # fmt: skip


if __name__ == "__main__":
    main()
