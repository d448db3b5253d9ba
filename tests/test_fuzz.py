"""Whatever comes in, what reads it raises nothing but what it says it does. The targets are in `tests.fuzzing`."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import open_store
from tests.fuzzing import FOUND, MEMORY, NAMES, SLOW, TARGETS, Recorded
from tests.seeds import TOKENS, seeds

SECONDS = int(os.environ.get("FUZZ", "180"))
"""Of fuzzing for each target."""

PATIENCE = SECONDS + 600
"""Seconds until it must have ended: on a busy machine what comes before takes minutes."""

VERDICTS = {
    70: f"an input took more than {SLOW} s",
    71: f"it took more than {MEMORY} MiB",
    FOUND: "what must hold does not",
}
"""What libFuzzer's exit codes say."""

_TOKENS = st.sampled_from(TOKENS)
_ANY = st.binary(max_size=300) | st.lists(_TOKENS | st.binary(max_size=6), max_size=40).map(b"".join)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_known(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


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


def test_requests_as_agents_send_them_come_back_from_their_tape(recorded_target: Recorded) -> None:
    for seed in seeds("recorded"):
        recorded_target(seed)


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
@pytest.mark.parametrize("name", NAMES)
def test_coverage_guided(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [sys.executable, "-m", "tests.fuzzing", name, str(tmp_path), str(SECONDS)]
    root = Path(__file__).parent.parent
    log = tmp_path / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            line, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stdout=out, stderr=out, start_new_session=True
        ) as fuzzer,
    ):
        try:
            code: int | None = fuzzer.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # Also when this test is interrupted: nothing of it is left.
            with suppress(ProcessLookupError):
                os.killpg(fuzzer.pid, signal.SIGKILL)
    said = log.read_text(errors="replace")
    verdict = f"no verdict after {PATIENCE} s" if code is None else VERDICTS.get(code, f"it ended with {code}")
    bad = [f"\npython -m tests.fuzzing {name} {path}\n{path.read_bytes()[:500]!r}" for path in tmp_path.glob("bad-*")]
    assert code == 0 and not bad, f"{name}: {verdict}{''.join(bad)}\n{said[-3000:]}"
    inputs, memory = (int(re.findall(rf"stat::{count}:\s*(\d+)", said)[-1]) for count in _COUNTS)
    begun, reached = (re.findall(rf"{when}\s+cov: (\d+)", said)[-1] for when in ("INITED", "DONE"))
    with capsys.disabled():
        print(f"\n{name}: {inputs} inputs in {SECONDS} s, {memory} MiB, {reached} branches ({begun} by its seeds)")
    assert inputs > 10 * len(seeds(name)), f"{name}: hardly anything was tried\n{said[-3000:]}"


_COUNTS = ("number_of_executed_units", "peak_rss_mb")
