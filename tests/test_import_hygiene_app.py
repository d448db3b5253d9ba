"""What the screen's process loads, and when: the first paint waits for no database, and no SDK is ever loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import record

SDKS = {"anthropic", "litellm", "docker", "uvicorn", "aiohttp", "alembic"}
STORE = {"sqlmodel", "sqlalchemy", "pydantic", "orjson", "pygments"}

PROBE = """
import asyncio, json, sys
from pathlib import Path
from app.feeds import Feed
from app.studio import Studio
from store.home import Home

loaded = {}
follow = Feed.follow

def spy(feed):
    loaded["painted"] = sorted({name.partition(".")[0] for name in sys.modules})
    loaded["shown"] = len(app.screen._compositor.render_strips())
    follow(feed)

Feed.follow = spy
app = Studio(Home(Path(sys.argv[1])), screen=sys.argv[2])

async def main():
    async with app.run_test(size=(100, 30)) as pilot:
        for key in "1", "2", "3", "4", "5", "2", "p", "3", "slash", "a", "enter", "question_mark":
            for _ in range(500):
                await pilot.pause(0.01)
                if app.world.flowed:
                    break
            await pilot.press(key)
            await pilot.pause(0.05)
        assert app.world.flowed

asyncio.run(main())
loaded["ever"] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(loaded))
"""


@pytest.mark.parametrize("screen", ["runs", "grid"])
def test_the_first_paint_waits_for_no_database_and_no_sdk_is_ever_loaded(tmp_path: Path, screen: str) -> None:
    with record.recorded(tmp_path) as home:
        program = [sys.executable, "-c", PROBE, str(home.root), screen]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert loaded["shown"] == 30
    assert not set(loaded["painted"]) & (SDKS | STORE)
    assert "sqlalchemy" in loaded["ever"]
    assert not set(loaded["ever"]) & SDKS
