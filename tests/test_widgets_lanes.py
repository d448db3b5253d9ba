"""Who needs the operator, which lanes are shown, and in which order: without a screen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.board import Lane
from store.domain.events import Alert, Event
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend, Usage
from store.domain.states import AlertLevel, SubagentState
from store.domain.strategy import LanePlan, Strategy
from widgets.flow import Flow
from widgets.lanes import Need, Order, Seat, Sort, need, needing, next_needing, parse, progress, used
from widgets.layout import Mode, plan
from widgets.pane import View, draw
from widgets.roster import row

S = SubagentState


def seat(number: int = 1, *, marked: bool = False, handled: int = 0, name: str = "history", **changes: object) -> Seat:
    plan_of = LanePlan(number, Strategy(name, "a"), clean=bool(changes.pop("clean", False)))
    limits = Limits(turns=20, tokens=1000, usd=2.0, seconds=600)
    made = Lane(SubagentId("7k3ab", 2, number), plan_of, limits, state=S.RUNNING)
    return Seat(replace(made, **changes), 0.0, marked, handled)  # type: ignore[arg-type]  # fields by name


def test_what_needs_the_operator_and_why() -> None:
    assert need(seat()) is None
    assert need(seat(state=S.PAUSED)) == Need(3, "paused")
    assert need(seat(state=S.FAILED)) == Need(0, "could not work")
    assert need(replace(seat(state=S.FAILED), open=False)) is None
    assert need(seat(alert="the same call", alerts=1, level=AlertLevel.STUCK)) == Need(
        1, "stuck: the same call", ("▲", "bad")
    )
    assert need(seat(alert="odd", alerts=1, level=AlertLevel.WARNING)) == Need(2, "odd", ("⚠", "warn"))
    assert need(seat(alert="worth knowing", alerts=1, level=AlertLevel.NOTE)) is None
    assert need(seat(spend=Spend(turns=3, usd=1.9))) == Need(4, "nearly out of money")
    for over in (S.SOLVED, S.UNSOLVED, S.KILLED, S.CHECKING):
        assert need(seat(state=over, alert="late", alerts=1, level=AlertLevel.STUCK)) is None


def test_who_is_stuck_comes_before_who_is_warned_of() -> None:
    warned, stuck = (
        seat(number, alert="the same call", alerts=1, level=level)
        for number, level in ((1, AlertLevel.WARNING), (2, AlertLevel.STUCK))
    )
    assert [one.lane.id.lane for one, _ in needing([warned, stuck])] == [2, 1]
    assert [parse("stuck")(one) for one in (warned, stuck)] == [False, True]


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (AlertLevel.NOTE, ("· note: it fails (+1)", "faint")),
        (AlertLevel.WARNING, ("⚠ it fails (+1)", "warn")),
        (AlertLevel.STUCK, ("▲ stuck: it fails (+1)", "bad")),
    ],
)
def test_a_pane_says_how_much_an_alert_asks(level: AlertLevel, said: tuple[str, str]) -> None:
    one = seat(alert="it fails", alerts=2, level=level)
    view = View(one.lane, Flow(), 0.0, need=need(one))
    assert said in draw(view, 60, 12)[-1]
    # In a row of its own, too, and its glyph alone where it needs the operator.
    assert said in row(view, 120)
    assert (said[0][0] in "".join(text for text, _ in draw(view, 60, 12)[0])) == (level is not AlertLevel.NOTE)


def test_a_tape_says_it_too() -> None:
    flow = Flow()
    for level in AlertLevel:
        flow.apply(Event(1, 1.0, "7k3ab", 2, 1, Alert("same-call", "it fails", level=level)))
    assert flow.lines(40, 10) == [
        (("· ", "faint"), ("note: it fails", "faint")),
        (("⚠ ", "warn"), ("it fails", "warn")),
        (("▲ ", "bad"), ("stuck: it fails", "bad")),
    ]


def test_an_alert_that_was_acted_on_is_quiet_until_the_next() -> None:
    assert need(seat(alerts=2, handled=2, alert="the same call", level=AlertLevel.WARNING)) is None
    assert need(seat(alerts=3, handled=2, alert="the same call", level=AlertLevel.WARNING)) is not None


def test_the_limit_that_is_nearest() -> None:
    assert used(seat(spend=Spend(turns=10, usage=Usage(input=900), usd=0.1)).lane, 0.0) == (0.9, "tokens")
    assert used(seat(limits=Limits()).lane, 0.0) == (0.0, "")
    assert progress(seat(turn=5).lane) == 0.25
    assert progress(seat(turn=5, limits=Limits()).lane) < progress(seat(turn=50, limits=Limits()).lane) < 1


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("running", True),
        ("paused", False),
        ("-paused", True),
        ("paused|running", True),
        ("working", True),
        ("ended", False),
        ("cost>1", True),
        ("cost>$1.5", False),
        ("cost>=1.25 running", True),
        ("cost>1 paused", False),
        ("turns<10", True),
        ("turn=7", True),
        ("progress>50%", False),
        ("tokens>1k", True),
        ("tokens<1M", True),
        ("time<5m", True),
        ("hist", True),
        ("2.3", True),
        ("make", True),
        ("clean", False),
        ("marked", True),
        ("needs", False),
        ("[red]", False),
    ],
)
def test_filters(text: str, passes: bool) -> None:
    lane = seat(
        3, marked=True, turn=7, last="run make check", spend=Spend(7, Usage(input=1500), 1.25), limits=Limits(20)
    )
    found = parse(text)
    assert found.trouble == ""
    assert found(lane) is passes


def test_what_a_filter_does_not_understand_is_said() -> None:
    assert "an amount is wanted" in parse("running cost>much").trouble
    assert parse("running cost>much").tests == ()


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_filter_or_a_sentence(text: str) -> None:
    found = parse(text)
    assert found.trouble or found(seat()) in (True, False)


def lanes(*seats: Seat) -> dict[int, Seat]:
    return {one.lane.id.lane: one for one in seats}


def test_orders() -> None:
    seats = lanes(
        seat(1, turn=2, spend=Spend(usd=0.5)),
        seat(2, turn=9, state=S.SOLVED, spend=Spend(usd=0.1)),
        seat(3, turn=4, state=S.PAUSED, spend=Spend(usd=0.9)),
    )
    expected: dict[Sort, tuple[int, ...]] = {
        Sort.NEED: (3, 1, 2),
        Sort.LANE: (1, 2, 3),
        Sort.STATE: (3, 1, 2),
        Sort.COST: (3, 1, 2),
        Sort.PROGRESS: (2, 3, 1),
    }
    for sort, numbers in expected.items():
        order = Order(sort)
        order.settle(seats)
        assert order.lanes == numbers, sort


def test_nothing_moves_until_the_operator_asks() -> None:
    seats = lanes(seat(1), seat(2), seat(3))
    order = Order()
    order.settle(seats)
    assert list(order.lanes) == [1, 2, 3]
    seats[3] = seat(3, state=S.FAILED)
    order.keep(seats)
    assert order.lanes == (1, 2, 3)
    assert order.stale(seats)
    order.settle(seats)
    assert order.lanes == (3, 1, 2)
    assert not order.stale(seats)


def test_a_lane_that_no_longer_passes_stays_and_one_that_is_new_comes_last() -> None:
    order = Order(filter=parse("running"))
    order.settle(lanes(seat(1), seat(2), seat(3, state=S.PAUSED)))
    assert list(order.lanes) == [1, 2]
    order.keep(lanes(seat(1, state=S.SOLVED), seat(2), seat(3), seat(4), seat(5, state=S.PAUSED)))
    assert list(order.lanes) == [1, 2, 4]
    order.keep(lanes(seat(2), seat(3), seat(4)))
    assert list(order.lanes) == [2, 4]


@given(st.lists(st.sampled_from(list(S)), min_size=1, max_size=30), st.sampled_from(list(Sort)))
def test_an_order_shows_every_lane_once(states: list[SubagentState], sort: Sort) -> None:
    seats = lanes(*(seat(number, state=state) for number, state in enumerate(states, start=1)))
    order = Order(sort)
    order.settle(seats)
    assert sorted(order.lanes) == sorted(seats)


def test_going_round_those_that_need_the_operator() -> None:
    seats = lanes(seat(1), seat(2, state=S.PAUSED), seat(3), seat(4, state=S.FAILED)).values()
    assert [one.lane.id.lane for one, _ in needing(seats)] == [4, 2]
    assert [next_needing(seats, at) for at in (1, 4, 2, None)] == [4, 2, 4, 4]
    assert next_needing([seat(1)], 1) is None


@pytest.mark.parametrize(
    ("width", "height", "count", "listed"),
    [(80, 20, 5, False), (80, 20, 25, True), (120, 36, 25, False), (120, 36, 100, True), (200, 46, 100, False)],
)
def test_panes_where_they_fit_and_a_list_where_they_do_not(width: int, height: int, count: int, listed: bool) -> None:
    found = plan(count, width, height)
    assert (found.list is not None) is listed
    assert plan(count, width, height, Mode.LIST).list is not None
    assert len(plan(count, width, height, Mode.PANES).panes) == count


@given(st.integers(1, 120), st.integers(1, 250), st.integers(1, 80), st.sampled_from(list(Mode)))
def test_a_list_and_its_live_pane_fill_the_room(count: int, width: int, height: int, mode: Mode) -> None:
    found = plan(count, width, height, mode)
    if found.list is None:
        assert len(found.panes) == count
        return
    cells = found.list.width * found.list.height + (found.live.width * found.live.height if found.live else 0)
    assert cells <= width * height
    assert found.live is not None or found.list.height == height
    if found.live is not None:
        assert (found.live.x, found.live.y) in {(found.list.width, 0), (0, found.list.height)}
