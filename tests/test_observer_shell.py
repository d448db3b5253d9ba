import pytest

from backends.observer.shell import changes_files, runs_check


@pytest.mark.parametrize(
    "command",
    [
        "make check",
        " make check ",
        "make check 2>&1",
        "cd /srv/clone && make check",
        "time make check",
        "timeout 60 make check",
        "(make check)",
        "sleep 1\nmake check",
    ],
)
def test_a_command_that_is_the_check(command: str) -> None:
    assert runs_check(command, "make check") is True


@pytest.mark.parametrize(
    "command",
    [
        "make check | tail -5",
        "make check 2>&1 | tail -n 3",
        "make check; echo done",
        "make check && git diff",
        "make check || true",
        "make check > /tmp/out 2>&1; tail -3 /tmp/out",
    ],
)
def test_a_command_that_hides_the_checks_exit_code(command: str) -> None:
    assert runs_check(command, "make check") is False


@pytest.mark.parametrize(
    "command", ["make check-fast", "make check -k", "SEED=1 make check", "echo make check", "make", "", "remake check"]
)
def test_a_command_that_is_another(command: str) -> None:
    assert runs_check(command, "make check") is None


@pytest.mark.parametrize(
    "command",
    [
        "sed -i 's/a/b/' x.py",
        "FOO=1 sed -i.bak 's/a/b/' x",
        "perl -pi -e 's/a/b/' f",
        "git checkout .",
        "git -C . checkout -- a.py",
        "git apply p.diff",
        "git stash && make check",
        "patch -p1 < x.diff",
        "echo hi > x.py",
        "echo x>y.py",
        "cat a >> b",
        "cat > a.py <<'EOF'\nprint(1)\nEOF",
        "python - <<'EOF'\nopen('a.py', 'w').write('x')\nEOF",
        "python3 -c \"open('x','w')\"",
        "tee x.py",
        "mv a b",
        "cp a.py b.py",
        "rm -rf build",
        "ls; rm x",
        "find . -name x -delete",
        "ruff format .",
        "make check && sed -i s/a/b/ z",
    ],
)
def test_a_command_that_changes_files(command: str) -> None:
    assert changes_files(command)


@pytest.mark.parametrize(
    "command",
    [
        "make check 2>&1",
        "ls > /dev/null",
        "pytest > /tmp/out",
        "grep -rn '->' .",
        "grep '>' x",
        "echo 'a > b'",
        "awk '$1 > 3' x",
        "git diff",
        "git --no-pager log -p",
        "git show HEAD~1 -- a.py",
        "git stash list",
        "git apply --check x",
        "sed -n 1,20p a.py",
        "cat a.py | head",
        "python -c 'print(1 > 0)'",
        "python - <<'EOF'\nimport shop\nprint(1 > 2)\nEOF",
        "python3 -c \"import json; print(json.load(open('x')))\"",
        "python -m pytest -q",
        "cp x /tmp/y",
        "rm -f /tmp/x",
        "find . -name '*.py'",
        "for f in *.py; do wc -l $f; done",
        "test -f x && cat x || true",
        "echo 'unbalanced",
    ],
)
def test_a_command_that_only_looks(command: str) -> None:
    assert not changes_files(command)
