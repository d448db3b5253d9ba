"""The garbage collector, for processes that pass requests on or record them."""

import gc


def settle() -> None:
    """Let the collector of cycles look less often, and never at what is there for good. A request of 500 messages is
    thousands of objects that no cycle holds; with Python's own thresholds looking through them takes longer than all
    else that is done with it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
