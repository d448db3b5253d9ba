"""Runs as files: a tape that is taken from one store to another. `docs/tapes.md` describes the format.

The file is a row of parts (`container`): the run, its blobs, nodes, calls, places on tapes, events, orders,
observations, files. `outgoing` writes them with secrets hidden (`hiding`), `incoming` reads them into a store.
"""
