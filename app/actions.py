"""Every action of the operator's, once. Keys, footer, help, command palette and the command line read this list."""

from dataclasses import dataclass

EVERYWHERE = "*"


@dataclass(frozen=True)
class Action:
    """`keys` are Textual key names, the first is the one shown. `where` names the screens it works on. `twin` is its
    command-line form, "" where the action only moves the screen."""

    id: str
    title: str
    help: str
    keys: tuple[str, ...]
    where: tuple[str, ...]
    twin: str = ""
    footer: bool = True


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
        "report",
        "Report",
        "What failed, what was learned, what it cost.",
        ("5",),
        (EVERYWHERE,),
        "multitrack report RUN",
    ),
    Action("open", "Open", "Show the selected run's grid.", ("enter",), ("runs",)),
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
    Action("tape", "Tape", "Show the selected subagent's trace.", ("enter",), ("grid",), "multitrack trace RUN"),
    Action("kill", "Kill", "End the selected subagent now.", ("x",), ("grid",), "multitrack kill RUN SUBAGENT"),
    Action(
        "pause",
        "Pause",
        "Hold the selected subagent before its next turn.",
        ("p",),
        ("grid",),
        "multitrack pause RUN SUBAGENT",
    ),
    Action(
        "continue", "Continue", "Let the paused subagent go on.", ("c",), ("grid",), "multitrack continue RUN SUBAGENT"
    ),
    Action(
        "restart",
        "Restart",
        "Start the selected subagent anew, which could not work.",
        ("s",),
        ("grid",),
        "multitrack restart RUN SUBAGENT",
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
    Action("jump", "Go to", "Go to a lane by its number.", ("g",), ("grid",), footer=False),
    Action(
        "stop",
        "Stop run",
        "End the run; what was done is kept and reported.",
        ("X",),
        ("grid", "runs"),
        "multitrack stop RUN",
    ),
    Action("search", "Search", "Search this run's tapes.", ("slash",), ("traces",)),
    Action("next-hit", "Next hit", "Go to the next place found.", ("n",), ("traces",)),
    Action("previous-hit", "Previous", "Go to the place found before.", ("N",), ("traces",), footer=False),
    Action("errors", "Errors only", "Show only what went wrong, and where it is.", ("e",), ("traces",)),
    Action("raw", "Raw", "The request and the response as recorded.", ("v",), ("traces",)),
    Action("follow", "Newest", "Go to what happened last.", ("f",), ("traces",)),
    Action("edit", "Edit", "Edit the observations that the next generation gets.", ("e",), ("observations",)),
    Action("save", "Save", "Hand the edited text to the engine.", ("ctrl+s",), ("observations",)),
    Action(
        "leave-edit",
        "Leave the editor",
        "Go back to reading; asks when there are changes.",
        ("escape",),
        ("observations",),
    ),
    Action("theme", "Theme", "Dark or light.", ("t",), (EVERYWHERE,), footer=False),
    Action("palette", "Commands", "Every action by name.", ("ctrl+p",), (EVERYWHERE,), footer=False),
    Action("quit", "Quit", "Leave the screen. The engine goes on.", ("q",), (EVERYWHERE,)),
    Action(
        "help", "Help", "Every key and its command-line twin.", ("question_mark",), (EVERYWHERE,), "multitrack --help"
    ),
)

SCREENS = ("runs", "grid", "traces", "observations", "report")
"""The screens, in the order of their keys. Each is also an action."""

_SHOWN = {"question_mark": "?", "slash": "/", "left_square_bracket": "[", "right_square_bracket": "]", "escape": "esc"}


def key_name(key: str) -> str:
    """A Textual key name as people write it."""
    return _SHOWN.get(key, key)


def find(action: str) -> Action:
    """The action of that id. KeyError when there is none."""
    return _BY_ID[action]


def on(screen: str) -> tuple[Action, ...]:
    """What works on a screen, in the registry's order."""
    return tuple(action for action in ACTIONS if screen in action.where or EVERYWHERE in action.where)


_BY_ID = {action.id: action for action in ACTIONS}
