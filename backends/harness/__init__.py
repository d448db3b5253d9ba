"""The harness: takes a run through its generations. The face of the trade.

`Harness(journal, ports).run()` works on a run until it is over; `report` writes down where it stands.
"""
