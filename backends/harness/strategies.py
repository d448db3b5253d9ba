"""The strategies that a run designs from when its task names none: five ways into a fault that only load shows."""

from store.domain.strategy import Strategy

PORTFOLIO: tuple[Strategy, ...] = (
    Strategy(
        name="shared state first",
        approach="List the state that several tasks share, and ask at each await who else may change it meanwhile.",
        triage=(
            "State that is tested or read, then awaited over, then written: a race by check-then-act or a lost update",
            "Locks that guard nothing: made for each call, or released early",
            "Slots and resources that are taken before an await and given back after it",
        ),
        heuristics=(
            "Hold one lock from the test to the change, not only around the change",
            "Read again after the wait what is about to be written",
        ),
    ),
    Strategy(
        name="time budgets first",
        approach="Write down who waits how long for whom, from the outermost caller inwards, and find the timeout that "
        "is longer than the patience of its caller.",
        triage=(
            "A timeout or deadline that is not smaller than the budget of the call around it",
            "Retries whose attempts together outlast the timeout of the caller: a storm",
            "What goes on when the caller has given up: tasks in the background, cancellation, cleanup",
        ),
        heuristics=(
            "Give the inner call less time rather than the outer more",
            "Undo, or refuse, what would finish after its caller has gone",
        ),
    ),
    Strategy(
        name="retries and side effects first",
        approach="Follow each request that is sent again, and ask what happens when the first one was carried out and "
        "only its answer was lost: is it idempotent?",
        triage=(
            "A retry without an idempotency key, or with a new key for each attempt",
            "A receiver that repeats a side effect for a duplicate request",
            "The order of side effects: others are told before it is saved",
        ),
        heuristics=(
            "Make the key once, before the first attempt",
            "Answer a duplicate from memory",
        ),
    ),
    Strategy(
        name="recent changes first",
        approach="Read the history: what worked once and fails now was broken by one of the recent commits.",
        triage=(
            "Files that the latest commits changed, newest first",
            "Error paths that a commit has touched: what is released or cleaned up when an exception ends it",
        ),
        heuristics=(
            "Bring back what the commit took away, and keep what it was for",
            "Give back in a finally what was taken",
        ),
    ),
    Strategy(
        name="follow the failing invariant",
        approach="Take each line that the check prints as a symptom, and walk from the state that it names back to "
        "everything that writes it.",
        triage=(
            "Code that works on what the broken invariant names",
            "Error paths on the way to it: exceptions, release of resources, cleanup",
        ),
        heuristics=(
            "The smallest change that makes one invariant hold",
            "Release in a finally what an exception would keep",
        ),
    ),
)
"""In the order in which lanes take them."""
