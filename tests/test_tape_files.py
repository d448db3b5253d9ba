"""Runs as files: nothing is lost on the way, nothing secret goes along, and nothing in a file is believed."""

import gzip
import io
import itertools
import json
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tapefiles import decoded
from store import blobs, events, observations, runs, tapes
from store.arriving import arriving
from store.blobs import digest
from store.database import Store, open_store
from store.domain.events import Alert, CommandSettled, Reference, RunImported, SubagentChecked
from store.domain.ids import SubagentId
from store.domain.observations import Claim, Document, Evidence, Observation, Priority, Subject
from store.domain.secrets import mask
from store.errors import StoreError
from store.home import Home
from store.portable import container
from store.portable.bodies import hide
from store.portable.container import Pen, TapeFileError, parts
from store.portable.incoming import Imported, import_run
from store.portable.outgoing import export_run
from store.retention import unfinished
from store.search import search
from store.unnamed import unnamed
from tests import record
from tests.shop import RUN as SHOP
from tests.shop import Here, here, nowhere
from tests.taping import ONE, TWO, body_of, closed, opened, said, user

__all__ = ["here", "nowhere"]

SECRET = "sk-ant-api03-" + "Secret0" * 8
OTHER = "ghp_" + "Abc123" * 6


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "one").create()


@pytest.fixture
def away(tmp_path: Path) -> Home:
    return Home(tmp_path / "two").create()


def made(store: Store, run: str = "abcde", title: str = "A run") -> None:
    store.write(lambda connection: runs.create(connection, run, title, at=1000.0))


def exported(store: Store, run: str = "abcde", folder: Path | None = None) -> bytes:
    stream = io.BytesIO()
    export_run(store, run, stream, decode=decoded, folder=folder)
    return stream.getvalue()


def put(home: Home, store: Store, data: bytes, name: str = "a.tape") -> Imported:
    path = home.root / name
    path.write_bytes(data)
    return import_run(store, home, path, decode=decoded, at=2000.0)


def rows(store: Store) -> dict[str, list[Any]]:
    """Everything in a store."""
    found = {}
    with store.read() as connection:
        for name in ("runs", "calls", "nodes", "tape_nodes", "events", "blobs", "deletions", "observation_versions"):
            found[name] = [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2")]
        found["passages"] = [
            tuple(r) for r in connection.exec_driver_sql("SELECT * FROM passages ORDER BY node, block")
        ]
    return found


def unpacked(data: bytes, folder: Path) -> bytes:
    path = folder / "unpacked.tape"
    path.write_bytes(data)
    return repr([part.rows for part in parts(path)]).encode("utf-8", "surrogatepass")


def test_everything_of_a_run_arrives(home: Home, away: Home) -> None:
    with (
        record.recorded(home.root / "recorded") as recorded,
        open_store(away.store) as there,
        open_store(recorded.store) as store,
    ):
        for run in (record.SOLVED, record.GATE, record.BROKEN):
            data = exported(store, run, recorded.folder(run).path)
            assert put(away, there, data) == Imported(run, run, made=True)
            assert tapes.verify(there, run) == []
            assert exported(there, run, away.folder(run).path) == data
            assert put(away, there, data) == Imported(run, run, made=False)
            before, after = events.read(store, run=run), events.read(there, run=run)
            copy = after.pop().payload
            assert isinstance(copy, RunImported) and (copy.source, copy.name) == ("tape", run)
            assert [(e.at, e.generation, e.lane, e.payload) for e in before] == [
                (e.at, e.generation, e.lane, e.payload) for e in after
            ]
            assert tapes.calls(store, run=run) == tapes.calls(there, run=run)
            for call in tapes.calls(store, run=run):
                assert tapes.response(store, call) == tapes.response(there, call)
                assert tapes.request(store, call) == tapes.request(there, call)
        assert unnamed(there, away) == []
        assert {(hit.call, hit.node) for hit in search(store, "ledger", run=record.SOLVED, limit=999)} == {
            (hit.call, hit.node) for hit in search(there, "ledger", run=record.SOLVED, limit=999)
        }


def secretive(store: Store) -> None:
    """A run with a secret wherever one may be."""
    made(store, title=f"Find {SECRET}")
    messages: list[Any] = [user(f"The key is {SECRET}."), said("ok"), user("Go on.")]
    system = f"Use {OTHER}."
    stream = b"".join(
        b"event: content_block_delta\ndata: %b\n\n"
        % json.dumps(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        ).encode()
        for piece in ("It is ", SECRET[:20], SECRET[20:30], SECRET[30:], ", is it?")
    )
    call = opened(store, body_of(messages, system=system), headers=[("x-note", SECRET)])
    closed(store, call, said(f"It is {SECRET}, is it?"), response=stream, timing=b"\x01\x02")
    plain = json.dumps(said(SECRET)).encode()
    coded = [("content-encoding", "gzip"), ("content-type", "application/json")]
    call = opened(store, body_of([*messages, said("no"), user("And?")], system=system))
    closed(store, call, said(SECRET), response=gzip.compress(plain, mtime=0), headers=coded)
    call = opened(store, body_of([user("None here.")]), TWO)
    closed(store, call, said("None."), response=b'{"none": 1}')
    raw = b'{"messages": [{"role": "user", "content": "%b"}], "messages": []}' % SECRET.encode()
    opened(store, raw, TWO)
    first = tapes.calls(store, subagent=ONE)[0]
    assert first.answer is not None
    text = f"It is {SECRET}, is it?"
    evidence = Evidence(ONE, first.id, first.answer, 0, 6, 6 + len(SECRET), text[6 : 6 + len(SECRET)], 1)
    told = Observation(
        "o-1",
        digest(b"1"),
        Subject.ENVIRONMENT,
        Priority.IMPORTANT,
        Claim.FACT,
        f"{SECRET} was said.",
        (),
        (evidence,),
        (ONE,),
    )
    store.write(lambda c: observations.save(c, Document("abcde", observations=(told,)), author="observer", at=5.0))
    patch = b"+ " + SECRET.encode()
    name = store.write(lambda c: blobs.put(c, patch))
    checked = SubagentChecked(solved=False, patch=name, files=("a",))
    (seq,) = store.write(lambda c: events.append(c, "abcde", [checked], at=6.0, generation=1, lane=1))
    alert = Alert("loop", f"{SECRET}!", (Reference(first.id, first.answer, seq),))
    store.write(lambda c: events.append(c, "abcde", [alert], at=7.0, generation=1, lane=1))


def test_no_secret_leaves_and_what_leaves_is_sound(home: Home, away: Home) -> None:
    with open_store(home.store) as store, open_store(away.store) as there:
        store.write(lambda c: events.append(c, "else", [Alert("r", "t")] * 5, at=1.0))
        secretive(store)
        assert tapes.verify(store, "abcde") == []
        folder = home.folder("abcde").create().path
        (folder / "report.md").write_text(f"# {SECRET}\n")
        data = exported(store, folder=folder)
        plain = unpacked(data, home.root)
        for secret in (SECRET, OTHER, "Secret0"):
            assert secret.encode() not in plain
        put(away, there, data)
        assert tapes.verify(there, "abcde") == []
        assert exported(there, folder=away.folder("abcde").path) == data
        assert exported(store, folder=folder) == data
        one, two, clean, raw = tapes.calls(there, run="abcde")
        assert mask(SECRET) in tapes.response(there, two).decode()
        assert tapes.response(there, one).count(b"*") == len(SECRET) - len("sk-ant-api03-")
        # As many bytes, so that it is still known when each came; no coding is named any more.
        assert one.timing is not None and two.timing is None
        assert [name for name, _ in two.response_headers] == ["content-type"]
        assert tapes.response(there, clean) == b'{"none": 1}' and raw.body is not None
        # Evidence and alerts still show what they did.
        document = observations.load(there, "abcde")
        assert document is not None
        (evidence,) = document.observations[0].evidence
        node = tapes.answer(there, one)
        assert node is not None and node.node == evidence.node != tapes.calls(store, run="abcde")[0].answer
        assert node.message["content"][0]["text"][evidence.start : evidence.end] == evidence.quote == mask(SECRET)
        *_, checked, alert, _ = events.read(there, run="abcde")
        assert isinstance(alert.payload, Alert) and isinstance(checked.payload, SubagentChecked)
        assert alert.payload.evidence == (Reference(one.id, node.node, checked.seq),)
        assert blobs.get(there, checked.payload.patch) == b"+ " + mask(SECRET).encode()
        assert unnamed(there, away) == []
        assert (away.folder("abcde").path / "report.md").read_text() == f"# {mask(SECRET)}\n"
        assert mask(SECRET) in away.folder("abcde").observations.read_text()


def test_two_nodes_that_differ_in_a_secret_alone_become_one(home: Home, away: Home) -> None:
    with open_store(home.store) as store, open_store(away.store) as there:
        made(store)
        for key in (SECRET, SECRET.replace("S", "T"), mask(SECRET)):
            for who in (ONE, TWO):
                call = opened(store, body_of([user(f"Take {key}."), said("yes"), user("Go.")]), who)
                closed(store, call, said(f"Took {key}."), response=b"{}")
        data = exported(store)
        put(away, there, data)
        assert tapes.verify(there, "abcde") == []
        assert exported(there) == data
        assert len({call.tail for call in tapes.calls(there, run="abcde")}) == 1


pieces = st.sampled_from([*'ab \n"\\{}:,é😀\ud800\u202e\x00', f" {SECRET} ", f" {OTHER} ", f'{{"key": "{SECRET}"}}'])
words = st.lists(pieces, max_size=12).map("".join)
contents_of = st.one_of(
    words,
    st.lists(
        st.one_of(
            st.builds(lambda text: {"type": "text", "text": text}, words),
            st.builds(lambda text: {"type": "tool_use", "id": "t", "name": "n", "input": {"a": text}}, words),
            st.builds(lambda text: {"type": "text", "text": text, "cache_control": {"type": text}}, words),
            st.builds(lambda n: {"type": "image", "source": {"data": n * "QUJD"}}, st.sampled_from([1, 2000])),
        ),
        max_size=3,
    ),
)
talks = st.lists(
    st.tuples(st.lists(contents_of, min_size=1, max_size=4), contents_of, words, st.booleans(), st.binary(max_size=20)),
    max_size=5,
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Store, Home, Store]]:
    folder = tmp_path_factory.mktemp("tapes")
    home, away = Home(folder / "one").create(), Home(folder / "two").create()
    with open_store(home.store) as store, open_store(away.store) as there:
        yield home, store, away, there


numbers = itertools.count()


@settings(deadline=None, max_examples=30)
@given(talks, st.integers(0, 3))
def test_what_comes_back_is_what_went(both: tuple[Home, Store, Home, Store], talks: list[Any], seed: int) -> None:
    home, store, away, there = both
    chance, run = random.Random(seed), f"r{next(numbers)}"
    made(store, run)
    for contents, answer, system, ended, response in talks:
        messages = [{"role": ("user", "assistant")[n % 2], "content": c} for n, c in enumerate(contents)]
        who = chance.choice((SubagentId(run, 1, 1), SubagentId(run, 2, 1), None))
        call = opened(store, body_of(messages, system=system), who, run=run)
        if ended:
            closed(store, call, {"role": "assistant", "content": answer}, response=response, notes=[system])
    assert tapes.verify(store, run) == []
    data = exported(store, run)
    assert SECRET.encode() not in unpacked(data, home.root)
    assert put(away, there, data).made
    assert exported(there, run) == data == exported(store, run)
    assert tapes.verify(there, run) == []
    calls = tapes.calls(store, run=run)
    assert [call.id for call in calls] == [call.id for call in tapes.calls(there, run=run)]
    if SECRET not in repr(talks) and OTHER not in repr(talks):
        assert calls == tapes.calls(there, run=run)


@given(st.text(st.sampled_from('ab\n"\\é😀 '), max_size=30), st.integers(0, 60), st.integers(0, 60), st.booleans())
def test_a_secret_in_pieces_is_hidden_in_a_stream(around: str, cut: int, other: int, spaced: bool) -> None:
    text = f"{around} {SECRET} {around}"
    cuts = sorted((0, cut % len(text), other % len(text), len(text)))
    pieces = [text[one:two] for one, two in pairwise(cuts)]
    separators = (", ", ": ") if spaced else (",", ":")
    stream = "".join(
        f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]}, separators=separators)}\n\n"
        for piece in pieces
    )
    hidden = hide(f"{stream}data: [DONE]\n\n".encode()).decode()
    told = [json.loads(line[6:]) for line in hidden.splitlines() if line.startswith("data: {")]
    assert "".join(one["choices"][0]["delta"]["content"] for one in told) == mask(text)
    assert len(hidden) == len(stream) + len("data: [DONE]\n\n")
    assert hide(hidden.encode()).decode() == hidden


def test_another_run_of_the_name_gets_another(home: Home, away: Home) -> None:
    with open_store(home.store) as store, open_store(away.store) as there:
        secretive(store)
        old = exported(store)
        put(away, there, old)
        call = opened(store, body_of([user("More.")]))
        closed(store, call, said("Done."))
        new = exported(store)
        came = put(away, there, new)
        assert came.made and came.run.startswith("abcde-")
        assert put(away, there, new) == Imported(came.run, "abcde", made=False)
        assert put(away, there, old) == Imported("abcde", "abcde", made=False)
        assert tapes.verify(there, came.run) == tapes.verify(there, "abcde") == []
        assert exported(there) == old
        calls = tapes.calls(there, run=came.run)
        assert len(calls) == len(tapes.calls(store, run="abcde"))
        assert [c.started for c in calls] == [c.started for c in tapes.calls(store, run="abcde")]
        document = observations.load(there, came.run)
        assert document is not None and document.run == came.run
        (evidence,) = document.observations[0].evidence
        assert evidence.subagent == SubagentId(came.run, 1, 1) and evidence.call == calls[0].id
        told = [e.payload for e in events.read(there, run=came.run) if isinstance(e.payload, Alert)]
        assert told[0].evidence[0].call == calls[0].id
        # Under its new name it is a run like any other.
        again = exported(there, came.run)
        with open_store(home.root / "third.sqlite3") as third:
            assert put(Home(home.root / "3").create(), third, again).run == came.run
            assert exported(third, came.run) == again


def test_orders_keep_their_place(home: Home, away: Home) -> None:
    from store import commands
    from store.domain.commands import Stop

    with open_store(home.store) as store, open_store(away.store) as there:
        made(store)
        for run in ("else", "abcde", "abcde"):
            number = commands.issue(store, run, Stop(), at=1.0)
            store.write(lambda c, n=number: commands.settle(c, n, applied=True, outcome="done", at=2.0))  # type: ignore[misc]
        data = exported(store)
        put(away, there, data)
        assert exported(there) == data
        first, second, _ = [event.payload for event in events.read(there, run="abcde")]
        assert isinstance(first, CommandSettled) and isinstance(second, CommandSettled)
        assert (first.command, second.command) == (1, 2)


def test_every_damage_is_refused_and_changes_nothing(home: Home, away: Home) -> None:
    with open_store(home.store) as store, open_store(away.store) as there:
        secretive(store)
        data = exported(store)
        before = rows(there)
        chance = random.Random(1)
        cuts = [data[:size] for size in {0, 1, 17, 18, 40, len(data) // 2, len(data) - 1, len(data) - 30}]
        flips = []
        for _ in range(60):
            at = chance.randrange(len(data))
            flips.append(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
        for bad in (*cuts, *flips, data + b"x", data + data):
            with pytest.raises(TapeFileError):
                put(away, there, bad)
            assert rows(there) == before
        with pytest.raises(TapeFileError, match=r"newer Multitrack.*version 2"):
            put(away, there, data.replace(b"multitrack-tape 1\n", b"multitrack-tape 2\n", 1))
        with pytest.raises(TapeFileError, match=rf"byte {len(data) - 60:,}|cut off"):
            put(away, there, data[: len(data) // 3])


Changed = Callable[[str, dict[str, Any]], list[Any]]


def rewritten(data: bytes, folder: Path, change: Changed) -> bytes:
    """A file that is whole and says something else."""
    path, stream = folder / "before.tape", io.BytesIO()
    path.write_bytes(data)
    pen = Pen(stream)
    for part in parts(path):
        if part.name != "end":
            pen.write(
                part.name,
                part.columns,
                [change(part.name, dict(zip(part.columns, row, strict=True))) for row in part.rows],
            )
    pen.seal()
    return stream.getvalue()


def changing(name: str, /, **to: Any) -> Changed:
    def change(part: str, row: dict[str, Any]) -> list[Any]:
        if part == name:
            row |= {key: value for key, value in to.items() if key in row}
        return [*row.values()]

    return change


@pytest.mark.parametrize(
    "change",
    [
        changing("run", id="../../etc"),
        changing("run", id="a\x1b[31m"),
        changing("run", id=".."),
        changing("run", id=7),
        changing("blob", data=b"other"),
        changing("node", message=b'{"role":"user","content":[{"type":"text","text":"poison"}]}'),
        changing("node", message=b"[" * 100_000),
        changing("node", parent="0" * 40),
        changing("node", depth=7),
        changing("node", role="assistant"),
        changing("call", id="../../x"),
        changing("call", started="now"),
        changing("call", tail="0" * 40),
        changing("call", system="0" * 40),
        changing("call", notes="{}"),
        changing("call", request_headers="nothing"),
        changing("call", id="0" * 18),
        changing("call", path="\ud800"),
        changing("place", node="0" * 40),
        changing("place", call="0" * 18),
        changing("place", lane="1"),
        changing("event", data="[]"),
        changing("event", data="{"),
        changing("event", at=None),
        changing("observation", document="0" * 40),
        changing("file", name="../x"),
    ],
)
def test_a_file_that_lies_is_refused(home: Home, away: Home, change: Changed) -> None:
    with open_store(home.store) as store, open_store(away.store) as there:
        secretive(store)
        folder = home.folder("abcde").create().path
        (folder / "report.md").write_text("# A report\n")
        data = rewritten(exported(store, folder=folder), home.root, change)
        before = rows(there)
        with pytest.raises(TapeFileError):
            put(away, there, data)
        assert rows(there) == before and unfinished(there) == []
        assert not (away.root / "x").exists()


def made_of(*parts: tuple[int, int, bytes]) -> bytes:
    """A file whose digests are right: rows, the size that is claimed, and what is packed."""
    data = b"multitrack-tape 1\n"
    for rows, size, content in parts:
        packed = zstandard.ZstdCompressor(level=19).compress(content)
        head = {"part": "blob", "columns": ["digest", "data"], "rows": rows, "size": size, "digest": digest(content)}
        data += json.dumps({**head, "packed": len(packed), "check": digest(packed)}).encode() + b"\n" + packed + b"\n"
    return data


def test_a_file_that_unpacks_to_more_than_any_tape_is_refused_before_it_does(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "SLACK", 1_000_000)
    row = b'["x", null, 700000]\n' + bytes(700_000) + b"\n"
    once, twice = made_of((1, len(row), row)), made_of((1, len(row), row), (1, len(row), row), (1, len(row), row))
    with open_store(home.store) as store:
        before = rows(store)
        unpacked: list[int] = []
        real = container._unpacked

        def noted(bits: bytes, size: int, where: str) -> bytes:
            unpacked.append(size)
            return real(bits, size, where)

        monkeypatch.setattr(container, "_unpacked", noted)
        for data, told in (
            (once, "cut off"),
            (twice, r"would unpack to 1,\d+,\d+ bytes, from a file of \d+: no tape does"),
            (made_of((1, 2_000_000_000, b"x")), "describes no part"),
            (made_of((1, 900_000_000, b"x")), "no tape does"),
            (made_of((1, 10, b"x" * 5000)), "not as large as it says"),
            (made_of((900_000_000, len(row), row)), "900,000,000 rows"),
        ):
            with pytest.raises(TapeFileError, match=told):
                put(home, store, data)
            assert rows(store) == before
        assert sum(unpacked) < 3 * len(row)


def test_what_an_import_that_was_killed_left_goes_with_the_next(home: Home, away: Home) -> None:
    with open_store(home.store) as store, open_store(away.store) as there:
        secretive(store)
        data = exported(store)
        part = home.root / "cut.tape"
        part.write_bytes(data)

        class KilledError(BaseException):
            pass

        def killed(*_: object, **__: object) -> None:
            raise KilledError

        with pytest.MonkeyPatch.context() as patch:
            # A process that is killed cleans nothing up.
            patch.setattr("store.arriving.finish", lambda *_, **__: None)
            patch.setattr("store.portable.incoming._Incoming._check", killed)
            with pytest.raises(KilledError):
                put(away, there, data)
        assert unfinished(there) == ["abcde"] and runs.runs(there) == []
        assert search(there, "none") == []
        assert put(away, there, data).made
        assert exported(there) == data and unfinished(there) == []
        assert tapes.verify(there, "abcde") == [] and unnamed(there, away) == []


def test_a_run_that_comes_in_is_nobodys_until_it_is_there(home: Home) -> None:
    with open_store(home.store) as store:
        with arriving(store, home, "abcde", "t", created=1.0, at=2.0):
            assert runs.runs(store) == []
            with pytest.raises(StoreError, match="importing"), arriving(store, home, "other", "t", created=1.0, at=2.0):
                pass
        assert [row.id for row in runs.runs(store)] == ["abcde"]


def test_parts_are_small(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "PART_BYTES", 1000)
    with open_store(home.store) as store:
        secretive(store)
        path = home.root / "small.tape"
        path.write_bytes(exported(store))
        found = [part for part in parts(path) if part.name != "end"]
        assert len(found) > 11 and found[0].name == "run"


def test_on_the_command_line(here: Here, tmp_path: Path) -> None:
    file = tmp_path / "a.tape"
    code, out, err = here("export", SHOP, "--output", str(file))
    assert (code, out) == (0, "") and f"Run {SHOP}" in err and file.stat().st_mode & 0o777 == 0o600
    away = str(tmp_path / "away")
    code, out, _ = here("--home", away, "import", str(file), "--json")
    told = json.loads(out)
    (one,) = told["runs"]
    assert code == 0 and told["changed"] and told["format"] == "tape"
    assert (one["run"], one["made"]) == (SHOP, True) and one["calls"] > 0 and one["nodes"] > 0
    assert one["calls"] == sum(lane["calls"] for lane in one["subagents"])
    code, out, err = here("--home", away, "import", str(file), "--json")
    again = json.loads(out)
    assert code == 0 and not again["changed"] and again["runs"] == [{**one, "made": False}]
    code, out, err = here("--home", away, "import", str(file))
    assert code == 0 and "nothing was changed" in err and SHOP in out
    file.write_bytes(file.read_bytes()[:-5])
    code, out, err = here("--home", away, "import", str(file))
    assert code == 2 and "was not imported" in err and "cut off" in err
    code, out, err = here("--home", away, "import", str(tmp_path / "none"))
    assert code == 3 and "can't be read" in err
    code, out, err = here("--home", away, "import", str(tmp_path))
    assert code == 2


def test_a_run_that_goes_on_is_not_exported(here: Here, tmp_path: Path) -> None:
    from store.lock import RunLock

    lock = RunLock(here.home.folder(SHOP).lock)
    assert lock.acquire()
    with lock:
        code, _, err = here("export", SHOP, "--output", str(tmp_path / "a.tape"))
    assert code == 2 and "goes on" in err and [*tmp_path.glob("*.tape")] == []
