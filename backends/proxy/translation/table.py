"""The routes of a proxy, found by what clients ask for."""

from collections.abc import Iterable, Mapping

from backends.proxy.routes import Upstream
from store.domain.route import ModelRoute, route_of


class RouteTable:
    """Finds a model's route. ValueError when one is there twice, or leads to an upstream that isn't there."""

    def __init__(self, routes: Iterable[ModelRoute], upstreams: Mapping[str, Upstream]) -> None:
        self._routes: dict[str, ModelRoute] = {}
        for route in routes:
            if route.model in self._routes:
                raise ValueError(f"the model {route.model!r} has two routes: leave one")
            self._routes[route.model] = route
            for one in route.tried:
                if one.upstream not in upstreams:
                    known = ", ".join(upstreams)
                    raise ValueError(
                        f"the route of {route.model!r}: {one} needs an upstream {one.upstream!r}; there are {known}"
                    )

    def __bool__(self) -> bool:
        return bool(self._routes)

    def find(self, model: str) -> ModelRoute | None:
        """Its route, None without one."""
        return self._routes.get(model) or route_of(self._routes.values(), model)
