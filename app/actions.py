"""Every action of the operator's, once. Keys, footer, help, command palette and the command line read this list."""

from collections.abc import Mapping
from dataclasses import replace

from app.action import Action as Action
from app.curation import CURATION
from app.keynames import written

EVERYWHERE = "*"
PLAYBACK = "playback"
"""Not a screen: on all screens while a run is played, and only then."""
SIDE = "side"
"""Not a screen of its own either: two tapes side by side, over the trace; nothing else works there."""


ACTIONS: tuple[Action, ...] = (
    Action("runs", "Runs", "Every run, newest first.", ("1",), (EVERYWHERE,), "multitrack runs"),
    Action(
        "grid",
        "Grid",
        "One live pane for each subagent of a generation.",
        ("2",),
        (EVERYWHERE,),
        "multitrack watch RUN",
    ),
    Action(
        "traces", "Traces", "Every turn, call and tool result as a tree.", ("3",), (EVERYWHERE,), "multitrack trace RUN"
    ),
    Action(
        "observations",
        "Observations",
        "What was learned, and the gate to the next generation.",
        ("4",),
        (EVERYWHERE,),
        "multitrack observations RUN",
    ),
    Action(
        "convergence",
        "Convergence",
        "Observations and solved subagents by generation; cost, failures, strategies.",
        ("5",),
        (EVERYWHERE,),
        "multitrack convergence RUN",
    ),
    Action(
        "report",
        "Report",
        "What failed, what was learned, what it cost.",
        ("6",),
        (EVERYWHERE,),
        "multitrack report RUN",
    ),
    Action("open", "Open", "Show the selected run's grid.", ("enter",), ("runs",)),
    Action(
        "export",
        "Export",
        "Write the run to one file, secrets left out.",
        ("w",),
        ("runs",),
        "multitrack export RUN --output FILE",
    ),
    Action(
        "import",
        "Import",
        "Bring runs in from a file: a tape, or what another program recorded.",
        ("i",),
        ("runs",),
        "multitrack import FILE",
    ),
    Action(
        "launch",
        "Launch",
        "Pass the gate: start the next generation.",
        ("l",),
        ("grid", "observations"),
        "multitrack launch RUN",
    ),
    Action(
        "launch-rest",
        "Launch all",
        "Pass this gate and all that follow.",
        ("L",),
        ("grid", "observations"),
        "multitrack launch RUN --rest",
    ),
    Action("tape", "Trace", "Show the selected subagent's trace.", ("enter",), ("grid",), "multitrack trace RUN"),
    Action(
        "zoom", "Zoom", "The selected subagent's whole tape, scrolling; again, or escape, goes back.", ("z",), ("grid",)
    ),
    Action("attend", "Who needs you", "Go to the next subagent that needs you.", ("a",), ("grid",)),
    Action(
        "pause", "Pause", "Hold it before its next turn.", ("p",), ("grid", "traces"), "multitrack pause RUN SUBAGENT"
    ),
    Action(
        "continue",
        "Continue",
        "Let it go on after a pause.",
        ("c",),
        ("grid", "traces"),
        "multitrack continue RUN SUBAGENT",
    ),
    Action(
        "steer",
        "Steer",
        "A message that it reads at its next turn.",
        ("m",),
        ("grid", "traces"),
        "multitrack steer RUN SUBAGENT TEXT",
    ),
    Action("limits", "Limits", "Raise its limits.", ("plus",), ("grid", "traces"), "multitrack limits RUN SUBAGENT"),
    Action(
        "restart",
        "Restart",
        "Start it anew, with another strategy if you like.",
        ("s",),
        ("grid", "traces"),
        "multitrack restart RUN SUBAGENT",
    ),
    Action("kill", "Kill", "End it now.", ("x",), ("grid", "traces"), "multitrack kill RUN SUBAGENT"),
    Action("mark", "Mark", "Mark it: orders go to all that are marked.", ("space",), ("grid", "observations")),
    Action(
        "mark-all",
        "Mark all",
        "Mark all that are shown, or none of them.",
        ("A",),
        ("grid", "observations"),
        footer=False,
    ),
    Action(
        "filter",
        "Filter",
        "Show only some: by state, cost, turns, words; new, contradicted, flagged observations.",
        ("slash",),
        ("grid", "observations"),
    ),
    Action("order", "Order", "By who needs you, lane, state, cost or progress.", ("o",), ("grid",)),
    Action("renew", "Renew", "Bring filter and order up to date; they never change by themselves.", ("u",), ("grid",)),
    Action("view", "Panes or list", "A pane for each, a list with one live pane, or as it fits.", ("w",), ("grid",)),
    Action("beside", "Side by side", "All generations beside each other, strategy by strategy.", ("b",), ("grid",)),
    Action(
        "clear",
        "Clear",
        "Leave the zoom, the marks, the filter: one after the other.",
        ("escape",),
        ("grid",),
        footer=False,
    ),
    Action(
        "resume",
        "Resume",
        "Start an engine for a run that has none.",
        ("r",),
        ("runs", "grid"),
        "multitrack resume RUN",
    ),
    Action("earlier", "Earlier", "Look back at the generation before.", ("left_square_bracket",), ("grid",)),
    Action("later", "Later", "Go to the generation after, up to the live one.", ("right_square_bracket",), ("grid",)),
    Action("jump", "Go to", "Go to a subagent by its label or its strategy.", ("g",), ("grid",), footer=False),
    Action(
        "stop",
        "Stop run",
        "End the run; what was done is kept and reported.",
        ("X",),
        ("grid", "runs", "observations"),
        "multitrack stop RUN",
    ),
    Action(
        "search",
        "Search",
        "Find words, errors, tools, costs on the tapes, as you type.",
        ("slash",),
        ("traces",),
        "multitrack search QUERY",
    ),
    Action("next-hit", "Next hit", "Go to the next place found.", ("n",), ("traces",)),
    Action("previous-hit", "Previous", "Go to the place found before.", ("N",), ("traces",), footer=False),
    Action("errors", "Errors only", "Show only what went wrong, and where it is.", ("e",), ("traces",)),
    Action("raw", "Raw", "The request and the response as recorded.", ("v",), ("traces",)),
    Action("follow", "Newest", "Go to what happened last.", ("f",), ("traces",)),
    Action("next-fault", "Next error", "Go to the next thing that went wrong.", ("right_curly_bracket",), ("traces",)),
    Action(
        "previous-fault",
        "Previous error",
        "Go to what went wrong before.",
        ("left_curly_bracket",),
        ("traces",),
        footer=False,
    ),
    Action(
        "compare",
        "Compare",
        "Two tapes side by side, from where they part.",
        ("d",),
        ("traces",),
        "multitrack compare RUN SUBAGENT",
    ),
    Action("next-difference", "Next difference", "Go to the next turn that differs.", ("n",), (SIDE,)),
    Action("previous-difference", "Difference before", "Go to the one before.", ("N",), (SIDE,), footer=False),
    Action("parting", "Where they part", "Go to where the two tapes part.", ("p",), (SIDE,)),
    Action("other-tape", "Another tape", "Set another tape beside it.", ("right_square_bracket",), (SIDE,)),
    Action(
        "previous-tape",
        "The tape before",
        "Go back to the other before.",
        ("left_square_bracket",),
        (SIDE,),
        footer=False,
    ),
    Action("swap", "Swap", "Let the two tapes change sides.", ("s",), (SIDE,)),
    Action("go-turn", "Go to the turn", "Leave, and go to the turn in the trace.", ("enter",), (SIDE,)),
    Action("leave-side", "Back", "Back to the trace.", ("escape", "d", "q"), (SIDE,)),
    Action("copy", "Copy", "Copy the node's text.", ("y",), ("traces",)),
    Action("pager", "Page", "Read the node in $PAGER.", ("o",), ("traces",), footer=False),
    Action("editor", "Open", "Open a copy of the node in $EDITOR.", ("O",), ("traces",), footer=False),
    Action("write", "Write", "Write the node to a file in the run's folder.", ("w",), ("traces",), footer=False),
    Action("observe", "Observe", "Make the node an observation, in your words.", ("a",), ("traces",)),
    Action(
        "fork",
        "Fork",
        "Start a new subagent from the conversation up to this node.",
        ("F",),
        ("traces",),
        "multitrack fork RUN CALL",
    ),
    Action(
        "scope",
        "More runs",
        "This run, all runs of its task, or all runs there are.",
        ("a",),
        ("convergence",),
        "multitrack convergence RUN RUN",
    ),
    *CURATION,
    Action(
        "play", "Play", "See the run again, from the record.", ("P",), ("runs", "grid", "traces"), "multitrack play RUN"
    ),
    Action("play-pause", "Play, pause", "Go on, or stand still.", ("space",), (PLAYBACK,)),
    Action("next-event", "Event", "Stand one event further.", ("full_stop",), (PLAYBACK,)),
    Action("previous-event", "Event back", "Stand one event earlier.", ("comma",), (PLAYBACK,), footer=False),
    Action("next-turn", "Turn", "Stand where the next turn begins.", ("greater_than_sign",), (PLAYBACK,)),
    Action(
        "previous-turn", "Turn back", "Stand where a turn began before.", ("less_than_sign",), (PLAYBACK,), footer=False
    ),
    Action("faster", "Faster", "Twice as fast, up to 64×.", ("plus", "equals_sign"), (PLAYBACK,)),
    Action("slower", "Slower", "Half as fast, down to 0.5×.", ("minus",), (PLAYBACK,)),
    Action("next-mark", "Mark", "Go to the next error, alert or solved.", ("m",), (PLAYBACK,)),
    Action("previous-mark", "Mark back", "Go to the one before.", ("M",), (PLAYBACK,), footer=False),
    Action("next-error", "Error", "Go to the next error.", ("E",), (PLAYBACK,)),
    Action("next-alert", "Alert", "Go to the next alert.", ("A",), (PLAYBACK,)),
    Action("next-solved", "Solved", "Go to where a subagent next solves it.", ("S",), (PLAYBACK,)),
    Action("skip", "Skip", "Ten seconds further.", ("shift+right",), (PLAYBACK,), footer=False),
    Action("skip-back", "Skip back", "Ten seconds back.", ("shift+left",), (PLAYBACK,), footer=False),
    Action(
        "timeline",
        "Timeline",
        "Hold the timeline: arrows scrub on it; again lets go.",
        ("T",),
        (PLAYBACK,),
        footer=False,
    ),
    Action("squeeze", "Silences", "Squeeze silences, or let them take their time.", ("i",), (PLAYBACK,), footer=False),
    Action("leave-playback", "Live", "Leave the playback, back to the live screens.", ("P",), (PLAYBACK,)),
    Action(
        "labels",
        "Jump",
        "A label on everything that can be focused or clicked; a label goes there.",
        ("apostrophe",),
        (EVERYWHERE,),
        footer=False,
    ),
    Action("theme", "Theme", "The next theme.", ("t",), (EVERYWHERE,), "multitrack settings", footer=False),
    Action("palette", "Commands", "Every action by name.", ("ctrl+p",), (EVERYWHERE,), footer=False),
    Action("quit", "Quit", "Leave the screen. The engine goes on.", ("q",), (EVERYWHERE,)),
    Action(
        "help", "Help", "Every key and its command-line twin.", ("question_mark",), (EVERYWHERE,), "multitrack --help"
    ),
)

ORDERS = frozenset(
    {
        *("launch", "launch-rest", "stop", "resume", "kill", "pause", "continue", "restart", "steer", "limits", "fork"),
        *("edit", "save", "observe", "import", "keep", "drop", "pin", "add", "quarantine", "settle", "merge", "split"),
        *("undo", "redo", "priority", "claim", "edit-file", "launch-uncurated", "again"),
    }
)
"""What an engine is asked to do: nothing of it can be done in a playback."""

TYPED = frozenset(
    {
        *("filter", "search", "jump", "labels", "palette", "edit", "steer", "limits", "restart", "observe", "fork"),
        *("import", "export"),
    }
)
"""What opens something that is typed into: keys behind these are no actions."""

SCREENS = ("runs", "grid", "traces", "observations", "convergence", "report")
"""The screens, in the order of their keys. Each is also an action."""

_rebound: dict[str, tuple[str, ...]] = {}


def rebind(keys: Mapping[str, tuple[str, ...]]) -> None:
    """Give actions other keys, by their ids; all that are not named have their own. For the whole process: whoever
    shows a key shows the one that works."""
    _rebound.clear()
    _rebound.update(keys)


def in_force() -> tuple[Action, ...]:
    """Every action, with the keys that it has now."""
    return with_keys(_rebound)


def with_keys(keys: Mapping[str, tuple[str, ...]]) -> tuple[Action, ...]:
    """Every action, some with other keys."""
    return tuple(replace(action, keys=keys[action.id]) if action.id in keys else action for action in ACTIONS)


def key_name(key: str) -> str:
    """A Textual key name as people write it."""
    return written(key)


def key(action: str) -> str:
    """The first key of an action, as people write it."""
    return written(find(action).keys[0])


def find(action: str) -> Action:
    """The action of that id. KeyError when there is none."""
    found = _BY_ID[action]
    return replace(found, keys=_rebound[action]) if action in _rebound else found


def on(screen: str, *, playback: bool = False) -> tuple[Action, ...]:
    """What works on a screen, in the registry's order. In a playback its own actions come first, and have their keys
    to themselves."""
    if screen == SIDE:
        return tuple(action for action in in_force() if SIDE in action.where)
    here = tuple(action for action in in_force() if screen in action.where or EVERYWHERE in action.where)
    if not playback:
        return here
    own = tuple(action for action in in_force() if PLAYBACK in action.where)
    keys = {key for action in own for key in action.keys}
    return own + tuple(action for action in here if not keys & {*action.keys})


_BY_ID = {action.id: action for action in ACTIONS}
