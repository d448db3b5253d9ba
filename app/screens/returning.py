"""Where the operator is on the grid and in the tree, noted; and both as they were left, shown again."""

from dataclasses import replace
from typing import TYPE_CHECKING

from app.screens.going import Goal, goal_of
from app.unfolding import Unfolding, chain, closed, opened
from app.whereabouts import BRANCHES, GridWhere, TraceWhere
from store.domain.ids import SubagentId
from widgets.docview import DocView
from widgets.lanes import Filter, Sort, parse
from widgets.layout import Mode
from widgets.matrix import Matrix
from widgets.reading import Place
from widgets.tape import TapeView

if TYPE_CHECKING:
    from app.screens.grid import GridScreen
    from app.screens.traces import TracesScreen


def note(grid: "GridScreen") -> None:
    """Tell the app where the operator is on the grid; nothing where there are no panes yet."""
    track, lane = grid.track, grid.lane
    if track is None or grid.generation is None:
        return
    read = (grid.zoom.back or grid.query_one(TapeView).place) if grid.zoom else None
    there = GridWhere(
        run=track.id,
        generation=lane.id.generation if grid.besides and lane else grid.looking or 0,
        lane=lane.id.lane if lane else 0,
        view="tape" if grid.zoom else "beside" if grid.besides else "panes",
        filter=grid.order.filter.text,
        order=grid.order.sort.name,
        mode=grid.wall.mode.name,
        part=read.part if read else -1,
        letters=read.letters if read else 0,
    )
    grid.studio.where = replace(grid.studio.where, grid=there)


class Return:
    """The way back, in two steps: what decides which panes are shown, then what is done on them."""

    def __init__(self, grid: "GridScreen") -> None:
        self._grid = grid

    @property
    def _where(self) -> GridWhere:
        """Where it was; on another run only what counts for any."""
        track, where = self._grid.track, self._grid.studio.where.grid
        return where if track and where.run == track.id else GridWhere(order=where.order, mode=where.mode)

    def before(self) -> None:
        """Order, filter, and the generation that was looked back at."""
        grid, where, track = self._grid, self._where, self._grid.track
        grid.order.sort = next((sort for sort in Sort if sort.name == where.order), grid.order.sort)
        grid.wall.mode = next((mode for mode in Mode if mode.name == where.mode), grid.wall.mode)
        found = parse(where.filter)
        grid.order.filter = found if not found.trouble else Filter()
        if track is not None and where.view != "beside" and 0 < where.generation < track.latest:
            grid.looking = where.generation if where.generation in track.board.generations else None

    def after(self) -> None:
        """The selected subagent, and what was shown of it."""
        grid, where, generation = self._grid, self._where, self._grid.generation
        track = grid.track
        if track is None or generation is None:
            return
        if where.lane in grid.order.lanes:
            grid.wall.select(where.lane)
        if where.view == "beside":
            grid.stand_beside(True)
            of = track.generation(where.generation or None)
            if of is not None and where.lane in of.lanes:
                grid.query_one(Matrix).point(of.lanes[where.lane])
        elif where.view == "tape" and where.lane in grid.order.lanes:
            grid.show_tape_of(generation.lanes[where.lane].id)
            if grid.zoom is not None and where.part >= 0:
                grid.zoom.back = Place(where.part, where.letters)
        grid.changed()


def note_trace(screen: "TracesScreen") -> None:
    """Tell the app where the operator is in the tree; nothing where none has been read."""
    trace = screen.trace
    cursor = screen.cursor if trace is not None else None
    if trace is None or cursor is None or trace.run != screen.studio.run_name:
        return
    goal, tree = goal_of(cursor.data), screen.treeview
    row, above = tree.scroll_offset.y, tree.above
    node = screen.node_back[1] if screen.node_back else screen.query_one("#node", DocView).place
    there = TraceWhere(
        run=trace.run,
        generation=goal.who.generation if goal else 0,
        lane=goal.who.lane if goal else 0,
        key=(goal.key if goal else "") or cursor.key,
        turn=(goal.turn if goal else None) or 0,
        seq=(goal.seq if goal else None) or 0,
        errors=screen.faults is not None,
        raw=screen.raw,
        above=-1 if above is None else above,
        top=chain(tree.top()) if above is None else (),
        opened=tuple([*opened(trace.outline, row), *screen.unfolding.left][:BRANCHES]),
        closed=tuple(closed(trace.outline)),
        line=node.part,
        letters=node.letters,
    )
    screen.studio.where = replace(screen.studio.where, trace=there)


def return_to_trace(screen: "TracesScreen") -> None:
    """Go where the operator was in the tree that has just been read, unless they are on their way to another place."""
    trace, where = screen.trace, screen.studio.where.trace
    if trace is None or where.run != trace.run or screen.world.pointed is not None:
        return
    screen.raw = where.raw
    for key in where.closed:
        if (branch := trace.outline.find(key)) is not None:
            trace.outline.close(branch)
    screen.unfolding = Unfolding(where.opened, () if where.errors else where.top)
    screen.node_back = where.key, Place(where.line, where.letters)
    above = None if where.above < 0 else where.above
    who = SubagentId(trace.run, where.generation, where.lane)
    item = trace.outline.find(where.key)
    if who in trace.lanes:
        screen.go_to(Goal(who, where.key, where.turn or None, where.seq or None, above))
    elif item is not None:
        screen.treeview.point(item, above=above)
        screen.land()
    if where.errors:
        screen.do_errors()
