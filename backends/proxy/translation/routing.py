"""The routes of one proxy: which calls have one, and all that is needed to answer them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backends.proxy import routes
from backends.proxy.admission import Caller
from backends.proxy.incoming import Asked
from backends.proxy.routes import KNOWN, Route, Upstream
from backends.proxy.translation.attempts import Attempts
from backends.proxy.translation.process import Worker
from backends.proxy.translation.routed import COUNT, Reach, Routed, speaks
from backends.proxy.translation.table import RouteTable
from backends.proxy.upstream import Client
from store.domain.route import ModelRoute
from store.tapes import CallStart

PROVIDER = "route"
"""Who answers a routed call, in the record: the tries that were made for it have the providers' names."""


@dataclass(frozen=True)
class Found:
    """Where a call that has a route goes. Without `plan` it goes to a provider as any other does: one that speaks the
    client's protocol, and knows the model by that name."""

    route: Route
    plan: ModelRoute | None = None


class Routing:
    """Finds calls' routes. Belongs to the event loop of the proxy."""

    def __init__(self, table: Iterable[ModelRoute], upstreams: Mapping[str, Upstream], silence: float) -> None:
        """ValueError as `RouteTable`."""
        self._table = RouteTable(table, upstreams)
        self._upstreams = upstreams
        # A client may speak a protocol that no upstream does.
        spoken = {name: Upstream(known.base_url, None, known.protocol) for name, known in KNOWN.items()}
        self._spoken = {**upstreams, **{name: upstream for name, upstream in spoken.items() if name not in upstreams}}
        self._worker = Worker(silence)
        self.attempts = Attempts()

    @property
    def worker(self) -> int | None:
        """The process id of the worker, None while none is needed."""
        return self._worker.pid

    def find(self, path: str, asked: Asked, server: tuple[str, int]) -> Found | None:
        """The route of a call; None for one that has none. `server` is where it came in."""
        if not self._table:
            return None
        spoken = routes.find(self._spoken, path)
        model, _ = spoken.protocol.asked(spoken.path, asked.model, asked.stream)
        plan = self._table.find(model)
        if plan is None:
            return None
        first, *others = plan.order("")
        protocol = spoken.upstream.protocol
        endpoint = spoken.protocol.endpoint("POST", spoken.path)
        same = first.model == model and speaks(first, self._upstreams, protocol, endpoint)
        if same and not others and not plan.retries:
            return Found(Route(first.upstream, self._upstreams[first.upstream], spoken.path))
        return Found(Route(PROVIDER, Upstream(_url(server), None, protocol), spoken.path), plan)

    def routed(self, found: Found, client: Client, start: CallStart, caller: Caller) -> Routed:
        """Who answers a call that has a plan."""
        assert found.plan is not None
        route, method = found.route, start.method
        endpoint = route.protocol.endpoint(method, route.path) if route.protocol.is_call(method, route.path) else ""
        if route.protocol.name == "anthropic" and route.path.rstrip("/").endswith("/count_tokens"):
            endpoint = COUNT
        reach = Reach(route.upstream.base_url, self._upstreams, client, self._worker, self.attempts)
        return Routed(
            reach, found.plan, start, caller, endpoint, home=routes.find(self._upstreams, route.path).provider
        )

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()


def _url(server: tuple[str, int]) -> str:
    host, port = server[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
