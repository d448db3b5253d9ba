"""Whether there can be nothing, for what a filter asks for is nowhere in the store: then no words are looked for."""

from typing import TYPE_CHECKING

from store.domain.query import Query

if TYPE_CHECKING:
    from sqlalchemy import Connection

# From each model the index leads to the next one: however many calls it has had.
_MODEL = "SELECT model FROM calls INDEXED BY ix_calls_model WHERE model"
_MODELS = (
    f"WITH RECURSIVE models (name) AS (SELECT * FROM ({_MODEL} >= '' ORDER BY model LIMIT 1) UNION ALL SELECT "  # noqa: S608
    f"({_MODEL} > name ORDER BY model LIMIT 1) FROM models WHERE name IS NOT NULL) "
    "SELECT name FROM models WHERE name IS NOT NULL"
)


def nothing(connection: "Connection", query: Query) -> bool:
    """Whether no call is of the models, or cost what is asked for."""
    return (bool(query.models) and not _models(connection, query)) or (
        bool(query.costs) and not _costs(connection, query)
    )


def _models(connection: "Connection", query: Query) -> bool:
    every = (str(name).lower() for (name,) in connection.exec_driver_sql(_MODELS))
    return any(name.strip("*") in model for model in every for name in query.models)


def _costs(connection: "Connection", query: Query) -> bool:
    """Whether a call cost so much, or what the calls together did that were made for one."""
    where, told = "", list[float]()
    for bounds in query.costs:
        less = "<" if bounds.open else "<="
        where += f" AND {{0}} {less} ? AND ? {less} {{0}}"
        told += [min(bounds.high, 1e300), bounds.low]
    own = f"SELECT 1 FROM calls INDEXED BY ix_calls_usd WHERE usd IS NOT NULL{where.format('usd')} LIMIT 1"  # noqa: S608
    tries = (
        "SELECT 1 FROM calls INDEXED BY ix_calls_parent WHERE parent IS NOT NULL GROUP BY parent "  # noqa: S608
        f"HAVING sum(usd) IS NOT NULL{where.format('sum(usd)')} LIMIT 1"
    )
    return any(connection.exec_driver_sql(sql, tuple(told)).first() for sql in (own, tries))
