"""The error of what is not translated."""


class UntranslatableError(Exception):
    """A request that can't be said in the other protocol; the message says why."""
