"""What tests of several modules share, because it takes long to begin; and in which order modules begin."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.routesrig import Rigged

# A `python3` that is a shell script, as pyenv's, takes as long to begin as what it begins takes to check a practice
# bug, a thousand times.
os.environ["PATH"] = f"{Path(sys.base_prefix, 'bin')}:{os.environ.get('PATH', os.defpath)}"

# What a shell begins in the background, or under nohup, ignores these, and so would all that it begins: tests send them
# to programs. A handler of ours is none in a program that is begun.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, lambda *_: None)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# How long an example takes tells how busy the machine is, and nothing else.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

FIRST = (
    "test_demo.py",
    "test_kill.py",
    "test_command_agents_docker.py",
    "test_demo_docker.py",
    "test_docker_hosts.py",
    "test_replay.py",
    "test_engine_steering.py",
    "test_scripted_model_converges.py",
    "test_engine_end.py",
    "test_whereabouts.py",
)
"""The modules that take longest, longest first: begun last, they would be waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means. Tests wait more than they compute, for engines, containers and screens at rest."""
    return 3 * (os.cpu_count() or 1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def routes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator["Rigged"]:
    """Routes with a LiteLLM worker that is up, which takes seconds; a test takes it by `r`."""
    from tests.routesrig import routed

    async with routed(tmp_path_factory.mktemp("routes")) as rigged:
        await rigged.proxy.routing._worker.up()
        yield rigged


@pytest.fixture
def r(routes: "Rigged") -> "Rigged":
    """The shared routes, as if nobody had asked anything yet."""
    routes.begin()
    return routes
