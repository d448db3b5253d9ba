"""The routes of one proxy: which calls have one, and all that is needed to answer them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backends.proxy import routes
from backends.proxy.admission import Caller
from backends.proxy.incoming import Asked
from backends.proxy.protocol import ProviderProtocol
from backends.proxy.routes import KNOWN, Route, Upstream
from backends.proxy.translation.attempts import Attempts
from backends.proxy.translation.process import Worker
from backends.proxy.translation.routed import EMBEDDINGS, Reach, Routed, speaks
from backends.proxy.translation.table import RouteTable
from backends.proxy.upstream import Client
from store.database import Store
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

    def __init__(
        self, table: Iterable[ModelRoute], upstreams: Mapping[str, Upstream], silence: float, store: Store
    ) -> None:
        """ValueError as `RouteTable`."""
        self._store = store
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
        endpoint = _endpoint(spoken.protocol, "POST", spoken.path)
        same = first.model == model and speaks(first, self._upstreams, protocol, endpoint)
        if same and not others and not plan.retries:
            return Found(Route(first.upstream, self._upstreams[first.upstream], spoken.path))
        instead = tuple((one.provider, one.model) for one in plan.tried)
        return Found(Route(PROVIDER, Upstream(_url(server), None, protocol), spoken.path, instead), plan)

    def routed(self, found: Found, client: Client, start: CallStart, caller: Caller) -> Routed:
        """Who answers a call that has a plan."""
        assert found.plan is not None
        route, method = found.route, start.method
        endpoint = _endpoint(route.protocol, method, route.path)
        reach = Reach(route.upstream.base_url, self._upstreams, client, self._worker, self.attempts, self._store)
        return Routed(
            reach, found.plan, start, caller, endpoint, home=routes.find(self._upstreams, route.path).provider
        )

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()


_BESIDE = (
    ("anthropic", "/count_tokens", "anthropic-count"),
    ("gemini", ":countTokens", "gemini-count"),
    ("openai", "/embeddings", EMBEDDINGS),
)
"""What is translated beside turns: the protocol, the end of the path, and our name for it."""


def _endpoint(protocol: ProviderProtocol, method: str, path: str) -> str:
    """What a request asks for; "" for what only goes to whoever speaks its protocol."""
    if protocol.is_call(method, path):
        return protocol.endpoint(method, path)
    plain = path.rstrip("/").replace("%3A", ":").replace("%3a", ":")
    ours = (ours for name, end, ours in _BESIDE if name == protocol.name and plain.endswith(end))
    return next(ours, "") if method == "POST" else ""


def _url(server: tuple[str, int]) -> str:
    host, port = server[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
