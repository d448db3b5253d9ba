"""Alerts on the tree: how much they ask, and that one key acts on whom they are of."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot

from app.screens.ask import Ask
from app.screens.form import Form
from app.screens.going import Goal
from app.screens.traces import TracesScreen
from store import commands, events
from store.database import Store, open_store
from store.domain.commands import Command, Kill, Pause
from store.domain.events import Alert
from store.domain.ids import SubagentId
from store.domain.states import AlertLevel
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until

SIZE = (160, 40)
WHO = SubagentId(record.LIVE, 2, 5)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as made:
        yield made


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with open_store(home.store) as opened:
        alert = Alert("same-call", "the same call five times", level=AlertLevel.STUCK)
        opened.write(lambda c: events.append(c, record.LIVE, [alert], at=record.NOW, generation=2, lane=5))
        yield opened


def given(store: Store) -> list[Command | None]:
    return [one.command for one in commands.pending(store, record.LIVE)]


async def at_the_alert(pilot: Pilot[None], *, errors: bool) -> TracesScreen:
    await settled(pilot)
    app = cast("object", pilot.app)
    screen = cast("TracesScreen", getattr(app, "place"))  # noqa: B009 - not the app that Pilot knows
    if errors:
        await pilot.press("e")
        await settled(pilot)
        rows = screen.treeview
        for _ in range(40):
            if "five times" in "".join(text for text, _ in screen.cursor.line) if screen.cursor else "":
                return screen
            rows.action_cursor(1)
            await settled(pilot)
        raise AssertionError("no alert among the errors")
    for _ in range(40):
        await pilot.press("}")
        await settled(pilot)
        if screen.cursor is not None and "five times" in "".join(text for text, _ in screen.cursor.line):
            return screen
    raise AssertionError("no alert in the tree")


@pytest.mark.parametrize("errors", [False, True])
async def test_one_key_acts_on_whom_an_alert_is_of(home: Home, store: Store, *, errors: bool) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        screen = await at_the_alert(pilot, errors=errors)
        assert "▲ stuck: the same call five times" in shown(pilot)
        keys = shown(pilot).splitlines()[-1]
        assert all(one in keys for one in ("p Pause", "m Steer", "+ Limits", "s Restart", "x Kill"))
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form), "the form")
        await until(pilot, lambda: "2.5" in shown(pilot) and "Send" in shown(pilot), "its words")
        await pilot.press("escape")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await pilot.press("y")
        await until(pilot, lambda: given(store), "the order")
        assert given(store) == [Kill(2, 5)]
        assert screen.world.handled == {WHO: 1}


async def test_elsewhere_the_keys_work_and_leave_the_footer_to_the_node(home: Home, store: Store) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("p")
        assert not given(store), "a run takes no order that is a subagent's"
        await pilot.press("f")
        screen = cast("TracesScreen", getattr(cast("object", pilot.app), "place"))  # noqa: B009 - as above
        screen.go_to(Goal(WHO, WHO.label))
        await settled(pilot)
        assert "Pause" not in shown(pilot).splitlines()[-1]
        await pilot.press("p")
        await until(pilot, lambda: given(store), "the order")
    (order,) = given(store)
    assert isinstance(order, Pause)
