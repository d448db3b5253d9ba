"""What a subagent leaves, and what the harness makes of it: only its own check on the patch counts."""

from pathlib import Path

import pytest

from backends.agents import Assignment, Session
from store import blobs
from store.domain.board import Lane
from store.domain.events import Alert
from store.domain.states import SubagentState
from tests.harnessrig import Rig, rig, solve


async def lane_after(made: Rig) -> Lane:
    return (await made.finish()).generations[1].lanes[1]


def alerts(made: Rig) -> list[tuple[str, str]]:
    return [(e.payload.rule, e.payload.text) for e in made.events(Alert) if isinstance(e.payload, Alert)]


async def shell(session: Session, command: str) -> None:
    done = await session.sandbox.run(command, seconds=30)
    assert done.exit_code == 0, done.text()


async def test_changes_of_protected_files_are_left_out_and_said(tmp_path: Path) -> None:
    async def work(assignment: Assignment, session: Session) -> None:
        await solve(assignment, session)
        await session.sandbox.write("check", b"#!/bin/sh\nexit 0\n")

    async with rig(tmp_path, work) as made:
        lane = await lane_after(made)
        assert lane.solved
        assert lane.checked is not None
        assert (lane.checked.left_out, lane.checked.files) == (("check",), ("answer",))
        assert alerts(made) == [("protected", "Changes to protected files left out: check")]
        assert lane.alert
        assert "Changes to protected files left out: check" in made.home.folder(made.run).report.read_text()


async def test_who_changes_the_check_alone_has_changed_nothing(tmp_path: Path) -> None:
    async def work(assignment: Assignment, session: Session) -> None:
        await session.sandbox.write("check", b"#!/bin/sh\nexit 0\n")

    async with rig(tmp_path, work) as made:
        lane = await lane_after(made)
        assert lane.checked is not None
        assert (lane.checked.solved, lane.checked.patch, lane.checked.result) == (False, "", None)
        assert lane.state is SubagentState.UNSOLVED
        assert alerts(made) == [("protected", "Changes to protected files left out: check")]


async def test_no_change_is_no_patch(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        lane = await lane_after(made)
        assert lane.checked is not None
        assert (lane.checked.patch, lane.checked.result, alerts(made)) == ("", None, [])
        assert not (made.home.folder(made.run).patches / "best.patch").exists()


async def test_binary_and_new_files_come_over_whole(tmp_path: Path) -> None:
    check = '#!/bin/sh\ntest "$(cat new/answer)" = 42 && test "$(wc -c <picture)" -eq 512\n'

    async def work(assignment: Assignment, session: Session) -> None:
        await session.sandbox.write("new/answer", b"42\n")
        await session.sandbox.write("picture", bytes(range(256)) * 2)

    async with rig(tmp_path, work, check=check) as made:
        lane = await lane_after(made)
        assert lane.solved
        assert lane.checked is not None
        assert lane.checked.files == ("new/answer", "picture")
        kept = blobs.get(made.store, lane.checked.patch)
        assert (made.home.folder(made.run).patches / "best.patch").read_bytes() == kept


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf .git",
        "git commit -qam done",
        "git checkout -q --orphan other; git rm -rqf --cached .; rm -rf .git/objects",
        "git init -q --bare .git/x; git config core.worktree /; git config core.bare true",
    ],
)
async def test_what_is_done_to_git_in_a_sandbox_does_not_matter(tmp_path: Path, command: str) -> None:
    async def work(assignment: Assignment, session: Session) -> None:
        await solve(assignment, session)
        await session.sandbox.run(f"git config user.name A; git config user.email a@b; {command}", seconds=30)

    async with rig(tmp_path, work) as made:
        assert (await lane_after(made)).solved


async def test_a_lane_that_removes_everything_is_unsolved(tmp_path: Path) -> None:
    async def work(assignment: Assignment, session: Session) -> None:
        await shell(session, 'rm -rf "$PWD"; true')

    async with rig(tmp_path, work, lanes=2) as made:
        lane = await lane_after(made)
        assert lane.state is SubagentState.UNSOLVED
        assert [rule for rule, _ in alerts(made)] == ["patch", "patch"]


async def test_a_check_that_passes_once_and_then_fails_does_not_solve(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    check = (
        f'#!/bin/sh\ntest "$(cat answer)" = 42 || exit 1\nmkdir {mark} 2>/dev/null || {{ echo "1 failed"; exit 1; }}\n'
    )
    async with rig(tmp_path, solve, check=check) as made:
        lane = await lane_after(made)
        assert not lane.solved
        assert alerts(made) == [("flaky", "The check passed, then failed, on the same patch.")]
        assert lane.checked is not None and lane.checked.patch, "it is kept all the same"


async def test_the_check_sees_nothing_that_is_not_in_the_patch(tmp_path: Path) -> None:
    """A process, an ignored file and an environment of the subagent's are not there when its patch is checked."""
    check = '#!/bin/sh\ntest -e secret.o && exit 0\ntest -e "$HOME/secret" && exit 0\nexit 1\n'

    async def work(assignment: Assignment, session: Session) -> None:
        await shell(session, 'echo "*.o" >.gitignore; touch secret.o "$HOME/secret"; sleep 1000 >/dev/null 2>&1 &')

    async with rig(tmp_path, work, check=check) as made:
        lane = await lane_after(made)
        assert lane.checked is not None and lane.checked.files == (".gitignore",)
        assert not lane.solved
