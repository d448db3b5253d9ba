"""Whatever comes in, what reads it raises nothing but what it says it does. The targets are in `tests.fuzzing`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import open_store
from tests.fuzzing import TARGETS, Recorded, seeds

SECONDS = 120
"""Of fuzzing for each target."""

PATIENCE = 1800
"""Seconds until it must have ended: on a busy machine the instrumenting alone takes minutes."""

_TOKENS = st.sampled_from(
    [
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b",",
            b'"',
            b"\\",
            b"\\u",
            b"\\ud83d",
            b"\xf0\x9f\x98\x80",
            b"\xff",
            b"\xed\xa0\x80",
        ),
        *(
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b" ",
            b"data: ",
            b"event: ",
            b"event:message_stop",
            b"[DONE]",
            b"\xef\xbb\xbf",
        ),
        *(b"null", b"true", b"1e400", b"-0.0", b"0.1", b"9" * 30, b"NaN", b'"model"', b'"messages"', b'"content"'),
        *(
            b"sk-ant-api03-",
            b"eyJ",
            b"-----BEGIN PRIVATE KEY-----",
            b"://",
            b"@",
            b"key=",
            b"%",
            b"%2e",
            b"/",
            b"?",
            b";",
        ),
    ]
)
_ANY = st.binary(max_size=300) | st.lists(_TOKENS | st.binary(max_size=6), max_size=40).map(b"".join)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, deadline=None)
@given(data=_ANY)
def test_anything_at_all(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_once_was_right(name: str, data: st.DataObject) -> None:
    """A good input with something put in, taken out, or twice."""
    seed = data.draw(st.sampled_from(seeds(name)))
    for _ in range(data.draw(st.integers(0, 4))):
        at, length = data.draw(st.integers(0, len(seed))), data.draw(st.integers(0, 30))
        piece = data.draw(st.sampled_from([b"", seed[at : at + length] * 2]) | _TOKENS)
        seed = seed[:at] + piece + seed[at + length :]
    TARGETS[name](seed)


@pytest.fixture(scope="module")
def recorded_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with open_store(tmp_path_factory.mktemp("fuzz") / "store.sqlite3") as store:
        yield Recorded(store)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.sampled_from(seeds("recorded")),
    at=st.integers(0, 200),
    piece=_TOKENS | st.just(b""),
    length=st.integers(0, 9),
)
def test_any_request_comes_back_from_its_tape(
    recorded_target: Recorded, seed: bytes, at: int, piece: bytes, length: int
) -> None:
    recorded_target(seed[:at] + piece + seed[at + length :])


@pytest.mark.soak
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this platform")
@pytest.mark.parametrize("name", [*TARGETS, "recorded"])
def test_coverage_guided(name: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "tests.fuzzing", name, str(tmp_path), str(SECONDS)]
    root = Path(__file__).parent.parent
    done = subprocess.run(
        line,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    bad = {path.name: path.read_bytes()[:500] for path in tmp_path.glob("bad-*")}
    assert done.returncode == 0 and not bad, f"{bad}\n{done.stderr.decode(errors='replace')[-3000:]}"
