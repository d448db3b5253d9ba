"""What tests of several modules share, because it takes long to begin."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.routesrig import Rigged


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
