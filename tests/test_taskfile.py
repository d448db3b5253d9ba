"""The task file: what it says is what the task is, and every mistake is answered with its line, key and remedy."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from app.failure import CommandError, Exit
from app.taskfile import TaskFileError, load, located
from app.taskkeys import AGENTS, KEYS, TABLES
from app.template import Guess, guess, named, template, value
from backends.agents.commands.known import KNOWN
from backends.agents.hiring import BUILTIN
from store.domain.docker import DockerSettings
from store.domain.limits import Limits
from store.domain.own_price import OwnPrice
from store.domain.route import Deployment, ModelRoute, Provider
from store.domain.strategy import Strategy
from store.domain.task import Check, Dirt, Memory, SandboxKind, Task

DOCUMENTATION = Path(__file__).parent.parent / "docs" / "configuration.md"

LEAST = '[task]\ngoal = "mend it"\n[check]\ncommand = "make test"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "multitrack.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[tuple[int, str]]:
    with pytest.raises(TaskFileError) as caught:
        load(written(folder, text))
    return [(problem.line, problem.key) for problem in caught.value.problems]


def said(folder: Path, text: str) -> str:
    path = written(folder, text)
    with pytest.raises(TaskFileError) as caught:
        load(path)
    return str(caught.value).replace(str(path), "FILE")


def test_least_file_leaves_everything_else_at_its_default(tmp_path: Path) -> None:
    task = load(written(tmp_path, LEAST))
    assert task == Task(goal="mend it", repository=str(tmp_path), check=Check("make test"))


def test_every_field_of_a_task_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "Dockerfile").touch()
    task = load(
        written(
            tmp_path,
            """
            [task]
            goal = "mend it"
            repository = "repo"
            revision = "v1"
            uncommitted = "take"
            [check]
            command = "make test"
            seconds = 12
            protected = ["tests/**"]
            [generations]
            count = 3
            lanes = 4
            clean = 2
            memory = "none"
            stop_when_solved = false
            [model]
            agent = "mine --task {goal} --url {url}"
            name = "m"
            upstream = "http://127.0.0.1:9/v/"
            [limits]
            turns = 9
            tokens = "none"
            usd = 1
            seconds = 60.5
            [run_limits]
            usd = "none"
            tokens = 1_000
            [sandbox]
            kind = "docker"
            tool_seconds = 5
            [docker]
            image = "theirs"
            dockerfile = "repo/Dockerfile"
            build_arguments = { BASE = "debian:12", EMPTY = "" }
            memory = "1.5 GiB"
            cpus = 0.5
            pids = 64
            disk = 1_073_741_824
            read_only = false
            user = "1001:100"
            runtime = "runsc"
            hosts = ["big", "ssh://me@small/run/docker.sock"]
            [observer]
            injected_tokens = 100
            model = "reader"
            turns = 4
            usd = "none"
            seconds = 90
            [finish]
            command = "notify"
            [[strategies]]
            name = "one"
            approach = "think"
            triage = ["a", "b"]
            heuristics = ["c"]
            model = "n"
            [strategies.limits]
            turns = 3
            [[strategies]]
            name = "two"
            approach = "act"
            [[routes]]
            model = "m"
            deployments = ["openai/a", "openai/b@far"]
            fallbacks = ["ollama_chat/c:8b"]
            retries = 2
            [[upstreams]]
            name = "far"
            url = "https://far.example.org/llm/"
            protocol = "openai"
            key = "FAR_KEY"
            [[prices]]
            model = "m"
            input = 1
            output = 2.0
            cache_write = 3
            """,
        )
    )
    assert task == Task(
        goal="mend it",
        repository=str(tmp_path / "repo"),
        check=Check("make test", 12.0, ("tests/**",)),
        revision="v1",
        uncommitted=Dirt.TAKE,
        generations=3,
        lanes=4,
        clean_lanes=2,
        memory=Memory.NONE,
        strategies=(
            Strategy("one", "think", ("a", "b"), ("c",), "n", Limits(turns=3)),
            Strategy("two", "act"),
        ),
        stop_when_solved=False,
        agent="mine --task {goal} --url {url}",
        model="m",
        upstream="http://127.0.0.1:9/v",
        limits=Limits(turns=9, tokens=None, usd=1.0, seconds=60.5),
        run_limits=Limits(tokens=1000, seconds=8 * 3600.0),
        sandbox=SandboxKind.DOCKER,
        docker=DockerSettings(
            image="theirs",
            dockerfile=str(tmp_path / "repo" / "Dockerfile"),
            build_arguments=(("BASE", "debian:12"), ("EMPTY", "")),
            memory=3 << 29,
            cpus=0.5,
            pids=64,
            disk=1 << 30,
            read_only=False,
            user="1001:100",
            runtime="runsc",
            hosts=("big", "ssh://me@small/run/docker.sock"),
        ),
        tool_seconds=5.0,
        injected_tokens=100,
        observer_model="reader",
        observer_limits=Limits(turns=4, tokens=300_000, usd=None, seconds=90.0),
        on_finish="notify",
        routes=(
            ModelRoute(
                "m",
                (Deployment("openai", "a", "openai"), Deployment("openai", "b", "far")),
                (Deployment("ollama_chat", "c:8b", "ollama"),),
                2,
            ),
        ),
        upstreams=(Provider("far", "https://far.example.org/llm", "openai", "FAR_KEY"),),
        prices=(OwnPrice("m", 1.0, 2.0, None, 3.0),),
    )
    same = Task(goal="mend it", repository="", check=Check(""))
    unchanged = [f.name for f in fields(Task) if getattr(task, f.name) == getattr(same, f.name)]
    assert unchanged == ["goal"], "each other field can be something else than its default"
    plain = DockerSettings()
    unchanged = [f.name for f in fields(plain) if getattr(task.docker, f.name) == getattr(plain, f.name)]
    assert unchanged == ["install"], "what the agent needs, the agent says"


def test_every_known_agent_can_be_named(tmp_path: Path) -> None:
    assert {BUILTIN, *KNOWN} == set(AGENTS)
    for name in AGENTS:
        assert load(written(tmp_path, f'{LEAST}[model]\nagent = "{name}"\n')).agent == name


def test_the_sandbox_can_be_said_in_a_word(tmp_path: Path) -> None:
    least = f'{LEAST}[docker]\nimage = "theirs"\n'
    assert load(written(tmp_path, f'sandbox = "docker"\n{least}')).sandbox is SandboxKind.DOCKER
    assert load(written(tmp_path, f'sandbox = "local"\n{least}')).sandbox is SandboxKind.LOCAL
    for text, line, wrong in (
        (f'sandbox = "podman"\n{least}', 1, 'sandbox.kind: is "podman"; it should be "auto" or "docker" or "local"'),
        (f"sandbox = 5\n{least}", 1, "sandbox: is no table; write [sandbox] above its keys"),
        (f'sandbox = "docker"\n{LEAST}', 1, 'sandbox.kind: is "docker", which needs an image; docker.image should'),
        (f'{LEAST}sandbox = "docker"\n', LEAST.count("\n") + 1, "sandbox: is unknown; write it above all tables, or"),
        (f'sandbox = "docker"\n{LEAST}[sandbox]\ntool_seconds = 5\n', LEAST.count("\n") + 2, ""),
    ):
        with pytest.raises(CommandError) as told:
            load(written(tmp_path, text))
        assert f":{line}: " in str(told.value) and wrong in str(told.value)


def test_all_mistakes_are_told_at_once_with_line_and_key(tmp_path: Path) -> None:
    text = """goal = "outside"
[task]
goall = "fix"
repository = "nowhere"
revision = 5
[check]
comand = "make test"
seconds = 0
protected = ["a",
  5]
[generations]
count = 500
clean = true
memory = "shuffled"
turns = 4
[limit]
turns = 5
[limits]
usd = -1
tokens = 5.5
seconds = nan
[model]
upstream = "https://me:key@there"
[[strategies]]
name = "a"
approach = '''
two
lines'''
[[strategies]]
name = "a"
triage = "b"
[strategies.limits]
turns = "none"
"""
    assert problems(tmp_path, text) == [
        (1, "goal"),
        (2, "task.goal"),
        (3, "task.goall"),
        (4, "task.repository"),
        (5, "task.revision"),
        (6, "check.command"),
        (7, "check.comand"),
        (8, "check.seconds"),
        (9, "check.protected"),
        (12, "generations.count"),
        (13, "generations.clean"),
        (14, "generations.memory"),
        (15, "generations.turns"),
        (16, "limit"),
        (19, "limits.usd"),
        (20, "limits.tokens"),
        (21, "limits.seconds"),
        (23, "model.upstream"),
        (29, "strategies.2.approach"),
        (30, "strategies.2.name"),
        (31, "strategies.2.triage"),
        (33, "strategies.2.limits.turns"),
    ]
    told = said(tmp_path, text).splitlines()
    assert told[0] == "FILE:1: goal: is unknown; it belongs under [task]"
    assert told[2] == "FILE:3: task.goall: is unknown; did you mean goal?"
    assert told[7] == "FILE:8: check.seconds: is 0; it should be a number of seconds from 0.1 to 86,400"
    assert told[12] == "FILE:15: generations.turns: is unknown; it belongs under [limits]"


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("[task\n", 1, "this is not TOML"),
        ('[task]\ngoal = "a\n', 2, "this is not TOML"),
        ('[task]\ngoal = "a"\ngoal = "b"\n', 3, "this key is there twice; leave one"),
        ("[task]\ngoal = yes\n", 2, "this is not TOML"),
        ('[task]\ngoal = """a\nb\n', 3, "this is not TOML"),
        ("task = 5\n" + LEAST.replace("[task]", "[other]"), 1, "is no table"),
        (LEAST + "[task]\n", 5, "task: is there twice; write its keys under one [task]"),
        (
            LEAST + "[[strategies]]\n[strategies]\n",
            6,
            "strategies: is there twice; write its keys under [[strategies]]",
        ),
        (LEAST + "[generations]\nlanes = 2\nclean = 3\n", 7, "is 3, more than the 2 lanes"),
        (LEAST + '[[task]]\ngoal = "a"\n', 5, "is there twice"),
        ('strategies = "all"\n' + LEAST, 1, "is no array of tables"),
        (LEAST + "[check.more]\na = 1\n", 5, "is unknown"),
        (LEAST.replace("mend it", "  "), 2, "is empty"),
        (LEAST + "[sandbox]\nkind = 'cloud'\n", 6, 'it should be "auto" or "docker" or "local"'),
        (LEAST + "[sandbox]\nkind = 'docker'\n", 6, 'sandbox.kind: is "docker", which needs an image; docker.image'),
        (
            LEAST + "[model]\nagent = 'claude-cod'\n",
            6,
            'is "claude-cod", which is close to "claude-code"; it should be',
        ),
        (LEAST + "[model]\nagent = 'mytool --fast'\n", 6, "or a command with {prompt} or {goal} in it"),
        (LEAST + "[docker]\ndockerfile = 'none'\n", 6, "it should be a Dockerfile"),
        (LEAST + "[docker]\nbuild_arguments = { A = 'b' }\n", 6, "is for a Dockerfile; name one as docker.docker"),
        (LEAST + "[docker]\nbuild_arguments = { A = 5 }\n", 6, "has a number as A"),
        (LEAST + "[docker]\nmemory = '4 gigs'\n", 6, 'is "4 gigs"; it should be a size from "64 MiB" on'),
        (LEAST + "[docker]\nmemory = 'none'\n", 6, 'is "none"'),
        (LEAST + "[docker]\nmemory = 12\n", 6, "is 12"),
        (LEAST + "[docker]\nuser = 'root'\n", 6, "numbers of a user and a group that are not root's"),
        (LEAST + "[docker]\nuser = '0:0'\n", 6, 'is "0:0"'),
        (LEAST + "[docker]\nhosts = ['tcp://there']\n", 6, 'holds "tcp://there", which needs a port'),
        (LEAST + "[docker]\nhosts = ['ssh://me:pw@there']\n", 6, "which carries a password"),
        (LEAST + "[docker]\nhosts = ['a', 'a']\n", 6, "names one twice"),
    ],
)
def test_one_mistake(tmp_path: Path, text: str, line: int, part: str) -> None:
    told = said(tmp_path, text).splitlines()
    assert any(one.startswith(f"FILE:{line}: ") and part in one for one in told), told


def test_a_file_that_cannot_be_read_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="multitrack init") as caught:
        load(tmp_path / "none.toml")
    assert caught.value.code == Exit.USAGE
    with pytest.raises(CommandError, match="is a folder"):
        load(tmp_path)
    marked = written(tmp_path, "\ufeff" + LEAST)
    assert load(marked).goal == "mend it", "some editors begin a file with a byte order mark"
    assert located(tmp_path) == marked
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'[task]\ngoal = "\xe9"\n')
    with pytest.raises(TaskFileError, match=r":2: is not UTF-8"):
        load(latin)


def test_the_repository_is_found_from_the_files_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "code").mkdir()
    path = written(tmp_path / "tasks", LEAST.replace("[check]", 'repository = "../code"\n[check]'))
    monkeypatch.chdir("/")
    assert load(path).repository == str(tmp_path / "code")


# What `multitrack init` writes.


def test_what_init_writes_reads_back_as_the_defaults(tmp_path: Path) -> None:
    text = template(goal="mend it", repository=".", found=Guess("make test", ("tests/**",)))
    task = load(written(tmp_path, text))
    assert task == Task(goal="mend it", repository=str(tmp_path), check=Check("make test", protected=("tests/**",)))


def test_what_init_writes_is_right_with_every_key_switched_on(tmp_path: Path) -> None:
    text = template(goal='say "this"\nand \\ that', repository=".", found=Guess("make test"))
    on = "\n".join(
        line.removeprefix("# ") if line.startswith(("# [", "# ")) and _is_key(line.removeprefix("# ")) else line
        for line in text.splitlines()
    )
    document = tomllib.loads(on)
    task = load(written(tmp_path, on))
    assert task.goal == 'say "this"\nand \\ that'
    assert [strategy.name for strategy in task.strategies] == ["reproduce first"]
    for key in KEYS:
        table: object = document
        for part in key.table.split("."):
            assert isinstance(table, dict)
            table = table[part][0] if isinstance(table[part], list) else table[part]
        assert isinstance(table, dict)
        assert key.name in table, key.path


def _is_key(line: str) -> bool:
    return line.startswith(("[strategies", "[[")) or any(line.startswith(f"{key.name} = ") for key in KEYS)


def test_what_init_could_not_know_is_asked_for(tmp_path: Path) -> None:
    text = template(goal="", repository=".", found=None)
    keys = [key for _, key in problems(tmp_path, text)]
    assert keys == ["task.goal", "check.command"]


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]\n", "tests/test_a.py": ""}, "python -m pytest -q"),
        ({"test/test_a.py": ""}, "python -m pytest -q"),
        ({"Makefile": "all:\n\techo\ntest: all\n\techo\n"}, "make test"),
        ({"Makefile": "check:\n\techo\n"}, "make check"),
        ({"Makefile": "test := 5\n"}, None),
        ({"package.json": '{"scripts": {"test": "jest"}}'}, "npm test"),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, None),
        ({"package.json": "[]"}, None),
        ({"package.json": "{"}, None),
        ({"Cargo.toml": ""}, "cargo test"),
        ({"go.mod": ""}, "go test ./..."),
        ({"README": "pytest"}, None),
    ],
)
def test_the_check_is_guessed(tmp_path: Path, files: dict[str, str], command: str | None) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python").touch(0o755)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = guess(tmp_path, {"PATH": str(bin_folder)})
    assert (found.command if found else None) == command


def test_python_is_called_what_it_is_called_here(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    found = guess(tmp_path, {"PATH": ""})
    assert found is not None
    assert found.command == "python3 -m pytest -q"


def test_the_files_that_a_check_names_decide(tmp_path: Path) -> None:
    for name in ("check.py", "a [1].sh"):
        (tmp_path / name).touch()
    (tmp_path.parent / "out.sh").touch()
    command = "A=1 python3 ./check.py --fast tests && sh 'a [1].sh' ../out.sh /bin/sh none.py"
    assert named(command, tmp_path) == ("/check.py", "/a \\[1\\].sh")
    assert named("'", tmp_path) == ()


# What is written about it.


@pytest.mark.parametrize("table", TABLES)
def test_the_documentation_has_every_key(table: str) -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    for key in KEYS:
        if key.table == table:
            default = "required" if key.required else f"`{value(key.default)}`"
            if table == "strategies.limits":
                default = "as in `[limits]`"
            elif table == "prices" and not key.required:
                default = "as `input`"
            right = key.kind.right[0].upper() + key.kind.right[1:]
            row = f"| `{key.name}` | {right} | {default} | {key.help.partition(' Left out: as ')[0]} |"
            assert row in text, row
