"""Go through all migrations, and write down what they come to."""

import sqlite3

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from store.migrations import SCHEMA, schema, upgrade

driver = sqlite3.connect(":memory:", isolation_level=None)
with create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool).connect() as connection:
    upgrade(connection)
    SCHEMA.write_text(schema(driver))
