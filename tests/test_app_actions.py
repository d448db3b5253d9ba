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


def help_of(screen: str, cells: int, *, playback: bool = False) -> list[str]:
    return ["".join(text for text, _ in line) for line in help_screen.text(screen, cells, playback=playback)]


@pytest.mark.parametrize("cells", [80, 100, 132, 200])
def test_help_names_every_action_with_its_key_and_its_twin(cells: int) -> None:
    lines = help_of("grid", cells)
    whole = " ".join(" ".join(lines).split())
    for action in actions.ACTIONS:
        assert action.title in whole
        assert action.twin in whole
        assert any(actions.key_name(action.keys[0]) in line and action.title in line for line in lines)
        if not action.twin:
            assert action.help in whole
    assert whole.index("Kill") < whole.index("Errors only")
    assert max(len(line) for line in lines) <= max(cells - help_screen.FRAME, 90)


def test_help_folds_under_what_it_began_with() -> None:
    lines = help_of("grid", 80)
    at = next(number for number, line in enumerate(lines) if "Zoom" in line)
    column = lines[at].index("The selected")
    assert lines[at + 1][:column].strip() == "" and lines[at + 1][column] != " "


def test_help_of_a_playback_has_its_keys_first_and_only_what_can_be_done() -> None:
    lines = help_of("grid", 120, playback=True)
    whole = "\n".join(lines)
    assert whole.index("Playback") < whole.index("Grid") < whole.index("Everywhere")
    for gone in ("Launch", "Steer", "Kill", "Restart", "Mark it:", "multitrack steer"):
        assert gone not in whole
    for there in ("Play, pause", "Zoom", "Side by side", "Errors only", "multitrack search QUERY"):
        assert there in whole
    keys = [line[2:13].strip() for line in lines[: lines.index("")] if line.startswith("  ")]
    assert len(keys) == len(set(keys))


def test_ids_are_unique() -> None:
    assert len({action.id for action in actions.ACTIONS}) == len(actions.ACTIONS)
