"""Nothing grows for ever without a word: on the Runs screen, in the doctor, in `runs`, and while a recorder runs."""

import json
import os
from functools import partial
from pathlib import Path

import pytest

from app import disk
from app.disk import GIVE_BACK, Disk, Filling, Weight, weigh
from app.failure import Exit
from store import runs
from store.database import Store, open_store
from store.domain.limits import Usage
from store.home import Home
from store.tapes import CallEnd, CallStart, record_call
from tests.driving import settled, shown, studio, until, weighed
from tests.record import NOW, SOLVED, recorded
from tests.shop import RUN, Here, here, nowhere

__all__ = ["here", "nowhere"]

PLENTY = 80 * 10**9


@pytest.mark.parametrize(
    ("taken", "free", "said"),
    [
        (0, PLENTY, None),
        (9 * 10**9, PLENTY, None),
        (11 * 10**9, PLENTY, "what is recorded takes 11 GB of the disk"),
        (7 * 10**9, 6 * 10**9, "what is recorded takes 7.0 GB of the disk"),
        (10**8, 6 * 10**9, None),
        (0, 3 * 10**9, "only 3.0 GB of the disk are free"),
        (0, 312 * 10**6, "only 312 MB of the disk are free: when it is full, model calls are refused"),
        (10**12, 0, "only 0 bytes of the disk are free: when it is full, model calls are refused"),
    ],
)
def test_what_the_operator_hears(taken: int, free: int, said: str | None) -> None:
    word = Disk(taken, free).word
    assert (word and word.said) == said
    if word is not None:
        assert word.todo == GIVE_BACK and word.urgent == (free < disk.NONE)


def test_a_word_is_said_once_and_again_when_it_gets_worse(tmp_path: Path) -> None:
    left = [PLENTY, 4 * 10**9, 4 * 10**9, PLENTY, 4 * 10**9, 10**8, 10**8]
    asked: list[int] = []

    def look(home: Home) -> Disk:
        asked.append(left.pop(0))
        return Disk(0, asked[-1])

    filling = Filling(Home(tmp_path), look)
    heard = [filling.news(at * Filling.EVERY) for at in range(7)]
    assert [word.urgent if word else None for word in heard] == [None, False, None, None, None, True, None]
    assert filling.news(6 * Filling.EVERY + 1) is None and len(asked) == 7, "not oftener"


def test_a_disk_that_is_gone_is_no_news(tmp_path: Path) -> None:
    def look(home: Home) -> Disk:
        raise FileNotFoundError

    assert Filling(Home(tmp_path), look).news(1.0) is None
    assert Filling(Home(tmp_path)).news(1.0) == Disk(0, disk.free(tmp_path)).word


def record(store: Store, run: str) -> None:
    store.write(partial(runs.create, run=run, title="Recording of today", at=NOW))
    for number, parent in enumerate((None, "q0", None)):
        start = CallStart(f"q{number}", NOW, run, None, "p", "POST", "/v1/messages", b'{"messages":[]}', parent=parent)
        usage = Usage() if number == 0 else Usage(1000, 500)
        end = CallEnd(f"q{number}", NOW + 1, 200, complete=True, usage=usage, usd=0.25 if number else 0.0)
        store.write(partial(record_call, start=start, end=end))


def test_it_is_weighed_by_run_and_together(here: Here) -> None:
    with open_store(here.home.store) as store:
        record(store, "r2c2d")
        here.home.folder(RUN).log.write_bytes(os.urandom(100_000))
        weight = weigh(store, here.home)
    assert weight.runs[RUN].files >= 100_000 and weight.runs["r2c2d"].store > 0
    assert weight.disk.taken >= 100_000 + here.home.store.stat().st_size
    assert weight.disk.free == pytest.approx(disk.free(here.home.root), rel=0.1)
    (told,) = weight.recordings.values()
    assert (told.calls, told.tries, told.spend.usage.total, told.spend.usd) == (2, 1, 3000, 0.5)


def test_runs_say_it_beside_their_list(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(here.home.store) as store:
        record(store, "r2c2d")
    monkeypatch.setattr(disk, "free", lambda path: PLENTY)
    code, out, err = here("runs")
    assert (code, err) == (Exit.FINE, "")
    assert "$0.50" in next(line for line in out.splitlines() if line.startswith("r2c2d"))
    monkeypatch.setattr(disk, "free", lambda path: 312 * 10**6)
    for arguments in (("runs",), ("runs", "--json")):
        code, out, err = here(*arguments)
        assert code == Exit.FINE
        assert err == (
            "multitrack: only 312 MB of the disk are free: when it is full, model calls are refused; "
            "`multitrack prune --older 30d` gives back what old runs take.\n"
        )
    told = next(run for run in json.loads(out) if run["run"] == "r2c2d")
    assert (told["calls"], told["tries"], told["tokens"], told["usd"], told["priced"]) == (2, 1, 3000, 0.5, True)


def test_the_doctor_says_it(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def finding() -> dict[str, str]:
        return next(item for item in json.loads(here("doctor", "--json")[1]) if item["check"] == "disk")

    monkeypatch.setattr("app.doctor.free", lambda path: PLENTY)
    assert finding()["level"] == "ok" and finding()["said"].startswith("80 GB free, ")
    monkeypatch.setattr("app.doctor.free", lambda path: 4 * 10**9)
    assert (finding()["level"], finding()["todo"]) == ("warn", GIVE_BACK)
    monkeypatch.setattr("app.doctor.free", lambda path: 10**8)
    assert finding()["level"] == "fail" and "only 100 MB" in finding()["said"]


async def test_the_runs_screen_shows_what_a_run_takes(tmp_path: Path) -> None:
    with recorded(tmp_path, alive=()) as home, open_store(home.store) as store:
        record(store, "r2c2d")
        async with studio(home, "runs", SOLVED).run_test(size=(120, 40)) as pilot:
            await settled(pilot)
            await until(pilot, lambda: "1.5 MB: 1.2 MB in the store, 340 kB in its folder" in shown(pilot), "the disk")
            await pilot.press("home")
            await until(pilot, lambda: "2 calls (1 try by routes), 3,000 tokens, $0.50" in shown(pilot), "its calls")
            assert "free" not in shown(pilot)


async def test_the_runs_screen_says_that_the_disk_is_nearly_full(tmp_path: Path) -> None:
    def full(store: Store, home: Home) -> Weight:
        return Weight(weighed(store, home).runs, Disk(10**6, 312 * 10**6))

    def large(store: Store, home: Home) -> Weight:
        return Weight(weighed(store, home).runs, Disk(12 * 10**9, PLENTY))

    with recorded(tmp_path, alive=()) as home:
        # What the run itself wants comes before a word that is not urgent.
        for look, keys, said in (
            (full, (), "Only 312 MB of the disk are free: when it is full"),
            (large, ("down", "down"), "What is recorded takes 12 GB of the disk. `multitrack prune"),
            (large, (), "no engine works on this run"),
        ):
            async with studio(home, "runs", weigh=look).run_test(size=(120, 40)) as pilot:
                await settled(pilot)
                await pilot.press(*keys)
                await until(pilot, lambda said=said: said in shown(pilot), said)  # type: ignore[misc] # the loop's value


async def test_a_look_that_fails_is_tried_again_and_says_nothing(tmp_path: Path) -> None:
    looked: list[int] = []

    def gone(store: Store, home: Home) -> Weight:
        looked.append(1)
        raise FileNotFoundError

    with recorded(tmp_path, alive=()) as home:
        async with studio(home, "runs", weigh=gone).run_test(size=(120, 40)) as pilot:
            await settled(pilot)
            assert looked and SOLVED in shown(pilot)
