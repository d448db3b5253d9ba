"""One registry for keys, footer, help, palette and the command line."""

import pytest
from textual.binding import Binding

from app import actions
from app.playback.playing import Playing
from app.screens import help as help_screen
from app.screens.base import bindings
from app.studio import Studio


def test_keys_avoid_what_terminals_and_shells_take() -> None:
    taken = {"ctrl+i", "ctrl+m", "ctrl+enter", "ctrl+b", "ctrl+a", "ctrl+q", "ctrl+c", "ctrl+z"}
    assert not taken & {key for action in actions.ACTIONS for key in action.keys}


@pytest.mark.parametrize("playback", [False, True])
def test_on_no_screen_a_key_means_two_things(playback: bool) -> None:
    for screen in (*actions.SCREENS, *(() if playback else (actions.SIDE,))):
        keys = [key for action in actions.on(screen, playback=playback) for key in action.keys]
        assert len(keys) == len(set(keys)), screen


def test_playback_has_actions_of_its_own_and_nowhere_else() -> None:
    own = {action.id for action in actions.ACTIONS if actions.PLAYBACK in action.where}
    assert {"play-pause", "next-event", "next-turn", "faster", "next-mark", "leave-playback"} <= own
    for screen in actions.SCREENS:
        assert not own & {action.id for action in actions.on(screen)}
        assert own <= {action.id for action in actions.on(screen, playback=True)}
    assert {action.id for action in actions.ACTIONS} | {"steer", "limits", "fork"} >= actions.ORDERS


def test_every_action_is_somewhere_and_somebody_carries_it_out() -> None:
    from importlib import import_module

    for action in actions.ACTIONS:
        method = f"do_{action.id.replace('-', '_')}"
        if action.id in actions.SCREENS or hasattr(Studio, method):
            continue
        for where in action.where:
            assert where != actions.PLAYBACK, action.id
            screen = getattr(import_module(f"app.screens.{where}"), f"{where.title()}Screen")
            assert hasattr(screen, method), (action.id, where)
    assert {where for action in actions.ACTIONS for where in action.where} <= {
        *actions.SCREENS,
        actions.EVERYWHERE,
        actions.PLAYBACK,
        actions.SIDE,
    }


def test_every_key_is_bound_where_its_action_works() -> None:
    everywhere = {binding.id for binding in Studio.BINDINGS if not isinstance(binding, tuple)}
    played = {binding.id for binding in Playing.BINDINGS if isinstance(binding, Binding) and binding.priority}
    for action in actions.ACTIONS:
        if actions.EVERYWHERE in action.where:
            assert action.id in everywhere | {"palette"}
        assert (actions.PLAYBACK in action.where) == (action.id in played)
        for where in action.where:
            if where not in (actions.EVERYWHERE, actions.PLAYBACK):
                assert action.id in {getattr(binding, "id", None) for binding in bindings(where)}


def test_help_names_every_action_with_its_key_and_its_twin() -> None:
    for beside in (True, False):
        lines = ["".join(text for text, _ in line) for line in help_screen.text("grid", beside=beside)]
        whole = "\n".join(lines)
        for action in actions.ACTIONS:
            assert action.help in whole
            assert action.twin in whole
            assert any(actions.key_name(action.keys[0]) in line and action.title in line for line in lines)
        assert whole.index("Kill") < whole.index("Errors only")


def test_ids_are_unique() -> None:
    assert len({action.id for action in actions.ACTIONS}) == len(actions.ACTIONS)
