"""Whether a subagent is stuck: rules over what it did, which raise alerts with their evidence.

`Watcher.take` folds one fact after the other; nothing else changes it, and the same facts give the same alerts. Facts
come from events and tapes (`store.domain.stuck.facts`), rules and their thresholds are in `store.domain.stuck.rules`.
"""

from store.domain.stuck.facts import Fact, Told, Used
from store.domain.stuck.rule import Moment
from store.domain.stuck.rules import RULES, forgets_all, fresh, stepped_in
from store.domain.stuck.tree import Tree
from store.domain.subagent_events import Alert

__all__ = ["RULES", "Watcher"]


class Watcher:
    """One subagent, watched. `check` is the task's command."""

    def __init__(self, check: str = "") -> None:
        self._check = check
        self._tree, self._rules = Tree(), fresh()

    def take(self, fact: Fact) -> list[Alert]:
        """What there is to say after this fact."""
        if forgets_all(fact):
            self._tree, self._rules = Tree(), fresh()
        elif isinstance(fact, Told) and fact.operator:
            self._rules = stepped_in(self._rules)
        changed = isinstance(fact, Used) and self._tree.take(fact)
        moment = Moment(fact, changed, self._tree.state, self._check)
        return [alert for rule in self._rules for alert in rule.take(moment)]
