"""The providers of a run beside the one that its task names."""

from collections.abc import Iterable, MutableMapping

from backends.proxy import KNOWN, Upstream
from store.domain.task import Task


def others(task: Task, names: Iterable[str], environ: MutableMapping[str, str], *, asked: bool) -> dict[str, Upstream]:
    """The providers that are led to by name, with their keys, which nobody else is to find in the environment. Where
    nobody is `asked`, a tape answers in their names, and they have no key."""
    named = {one.name: one for one in task.upstreams}
    upstreams: dict[str, Upstream] = {}
    for name in {*names} - {"anthropic"}:
        if (own := named.get(name)) is not None:
            url, protocol = own.url, own.protocol
            variables: tuple[str, ...] = (own.key,) if own.key else ()
        else:
            url, variables, protocol = KNOWN[name].base_url, KNOWN[name].keys, KNOWN[name].protocol
        found = (key for variable in variables if (key := environ.pop(variable, "")))
        upstreams[name] = Upstream(url, (next(found, "") or None) if asked else None, protocol)
    return upstreams
