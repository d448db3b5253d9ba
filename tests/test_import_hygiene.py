"""What the command line loads: nothing slow, unless a command needs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SDKS = {"anthropic", "litellm", "docker"}
SLOW = SDKS | {"textual", "rich", "sqlalchemy", "sqlmodel", "alembic", "pydantic", "aiohttp", "uvicorn", "asyncio"}

PROBE = """
import json, sys
from app.cli import main
code = main(sys.argv[1:])
tops = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([int(code), tops]), file=sys.stderr)
"""


def loaded(home: Path, *arguments: str) -> set[str]:
    """The top-level packages in memory after a command that went well."""
    program = [sys.executable, "-c", PROBE, "--home", str(home), *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    code, tops = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(tops)


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("demo", "--help"), ("runs",)])
def test_what_only_prints_loads_nothing_slow(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert loaded(tmp_path / "home", *arguments) & SLOW == set()


def test_reading_the_store_loads_no_sdk_no_screen_and_no_migrations(tmp_path: Path) -> None:
    from store.database import open_store
    from store.home import Home

    home = Home(tmp_path / "home").create()
    open_store(home.store).close()
    assert loaded(home.root, "runs") & (SDKS | {"textual", "alembic", "uvicorn", "aiohttp"}) == set()


@pytest.mark.parametrize(
    "module",
    [
        "app.studio",
        "app.engines",
        "app.follow",
        "app.demo",
        "app.containers",
        "app.doctor",
        "app.commands",
        "backends.practice",
    ],
)
def test_modules_of_the_screens_process_load_no_sdk(module: str) -> None:
    probe = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in json.loads(done.stdout)} & SDKS == set()


@pytest.mark.parametrize(
    "trade", ["agents", "export", "harness", "imports", "observer", "practice", "proxy", "rules", "sandboxes"]
)
def test_faces_of_the_trades_load_no_sdk(trade: str) -> None:
    probe = f"import json, sys, backends.{trade}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in json.loads(done.stdout)} & (SDKS | {"textual"}) == set()
