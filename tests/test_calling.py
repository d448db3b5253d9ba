"""When the operator is called, and what the terminal's title says."""

from app.calling import Calling, needing, sequence
from app.world import World


def test_it_rings_for_what_begins_and_not_for_what_goes_on() -> None:
    calling = Calling()
    assert calling.look(frozenset({"a gate 1"})) == (False, "(1) multitrack"), "it was so before they came"
    assert calling.look(frozenset({"a gate 1"})) == (False, "")
    assert calling.look(frozenset({"a gate 1", "b.1.2 1"})) == (True, "(2) multitrack")
    assert calling.look(frozenset({"b.1.2 1"})) == (False, "(1) multitrack")
    assert calling.look(frozenset()) == (False, "multitrack")
    assert calling.look(frozenset()) == (False, "")
    assert calling.look(frozenset({"a gate 2"})) == (True, "(1) multitrack")


def test_a_title_that_was_never_marked_stays_the_terminals_own() -> None:
    assert Calling().look(frozenset()) == (False, "")
    assert needing(World()) == frozenset()
    assert sequence("multitrack") == "\x1b]2;multitrack\x07"
