"""Every action of the operator's, once. Keys, footer, help screen, command palette and the command line read this list."""

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
    Action("kill", "Kill", "End the selected subagent now.", ("k",), ("grid",), "multitrack kill RUN SUBAGENT"),
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
        "stop",
        "Stop run",
        "End the run; what was done is kept and reported.",
        ("X",),
        ("grid", "runs"),
        "multitrack stop RUN",
    ),
    Action(
        "resume",
        "Resume",
        "Start an engine for a run that has none.",
        ("r",),
        ("runs", "grid"),
        "multitrack resume RUN",
    ),
    Action(
        "help", "Help", "Every key and its command-line twin.", ("question_mark",), (EVERYWHERE,), "multitrack --help"
    ),
    Action("quit", "Quit", "Leave the screen. The engine goes on.", ("q",), (EVERYWHERE,)),
)
