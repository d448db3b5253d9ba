"""What is shipped: a source distribution and a wheel with everything in them, which run without this checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
ROOMS = ("app", "widgets", "backends", "store", "themes")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both: the wheel is built from the source distribution."""
    out = tmp_path_factory.mktemp("dist")
    program = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def tracked() -> set[str]:
    """The files of the rooms as Git has them; those in the tree where this is no clone."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", *ROOMS], capture_output=True, check=True)
        names = set(done.stdout.decode().split("\0")) - {""}
        return {name for name in names if (ROOT / name).exists()}
    except (OSError, subprocess.CalledProcessError):
        files = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
        return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


def junk(names: set[str]) -> set[str]:
    parts = {".venv", ".git", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "dist"}
    return {name for name in names if parts & set(Path(name).parts) or name.endswith((".pyc", ".sqlite3", ".log"))}


def test_the_wheel_has_the_five_rooms_whole_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        script = next(info for info in archive.infolist() if info.filename.endswith(".data/scripts/multitrack"))
    assert script.external_attr >> 16 & 0o111, "the command can be executed"
    assert tracked() - names == set()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.startswith("multitrack-")} == set(ROOMS)
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert junk(names) == set()
    # What is no Python is what is left behind most easily.
    for beginning, ending in (
        ("store/migrations/versions/", ".py"),
        ("store/migrations/", ".mako"),
        ("backends/practice/tasks/", ""),
        ("backends/practice/", ".md"),
        ("backends/sandboxes/docker/inside/", ".js"),
        ("backends/sandboxes/docker/inside/", ".pl"),
        ("", ".tcss"),
        ("app/", "py.typed"),
    ):
        assert any(name.startswith(beginning) and name.endswith(ending) for name in names), beginning + ending


def test_the_source_distribution_has_what_a_build_and_the_tests_need(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert tracked() - names == set()
    for needed in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "Makefile", "requirements-dev.txt"):
        assert needed in names
    assert any(name.startswith("tests/") for name in names)
    assert any(name.startswith("docs/") for name in names)
    assert junk(names) == set()


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel in it. What it depends on is found where this one has it, through a path
    file: those of that folder are not read in turn, so the checkout is not on its path."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    site = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    where = subprocess.run(
        [
            python,
            "-P",
            "-E",
            "-c",
            "import app, store, backends; print(app.__file__, store.__file__, backends.__file__)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(Path(name).is_relative_to(folder) for name in where.stdout.split()), where.stdout
    return folder


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """A folder with packages of the operator's own that are called as ours are."""
    for room in ROOMS:
        (tmp_path / "src" / room).mkdir(parents=True)
        (tmp_path / "src" / room / "__init__.py").write_text("raise SystemExit('a decoy')\n", encoding="utf-8")
    return tmp_path / "src"


def multitrack(
    installed: Path, decoys: Path, *arguments: str, home: Path, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """The installed command, started among the decoys and with them on PYTHONPATH."""
    environ = {**os.environ, "MULTITRACK_HOME": str(home), "PYTHONPATH": str(decoys)}
    environ.pop("ANTHROPIC_API_KEY", None)
    return subprocess.run(
        [installed / "bin" / "multitrack", *arguments],
        cwd=decoys,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=check,
    )


def test_the_installed_command_runs_among_packages_of_the_same_names(
    installed: Path, decoys: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    assert multitrack(installed, decoys, "--version", home=home).stdout == "multitrack 0.1.0\n"
    assert "No runs yet" in multitrack(installed, decoys, "runs", home=home).stdout
    assert multitrack(installed, decoys, "init", "--goal", "x", "--check", "y", home=home).returncode == 0


def test_the_installed_demo_runs_headless(installed: Path, decoys: Path, tmp_path: Path) -> None:
    """One generation of it: the practice bug, the migrations, the scripted model and the report are all inside."""
    arguments = ("demo", "--sandbox", "local", "--headless", "--json", "--generations", "1")
    done = multitrack(installed, decoys, *arguments, home=tmp_path / "home", check=False)
    assert done.returncode in (0, 1), done.stderr
    summary = json.loads(done.stdout)
    assert [generation["number"] for generation in summary["generations"]] == [1]
    assert summary["generations"][0]["lanes"] == 4
    assert summary["turns"] > 0
    assert Path(summary["report"]).read_text(encoding="utf-8").startswith("# ")


def pins(name: str) -> dict[str, Version]:
    """Every package that a file of requirements names, with its version."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(package): Version(version) for package, version in found}


def test_what_the_project_asks_for_is_pinned_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    run, dev, build = pins("requirements.txt"), pins("requirements-dev.txt"), pins("requirements-build.txt")
    for file, asked in (
        (run, project["project"]["dependencies"]),
        (dev, project["project"]["optional-dependencies"]["dev"]),
        (build, project["build-system"]["requires"]),
    ):
        for requirement in map(Requirement, asked):
            assert file[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    assert run.items() <= dev.items()
    assert build.items() <= dev.items()


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="the source distribution is without it")
def test_pins_without_a_hash_or_with_an_address_are_refused(tmp_path: Path) -> None:
    good = "a==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:0\n    # via b\n"
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")

    def refused(text: str) -> bool:
        (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
        done = subprocess.run([tmp_path / ".ci" / "requirements"], capture_output=True, check=False)
        return done.returncode != 0

    assert not refused(good)
    for bad in (
        good.replace("==", ">="),
        "a==1.0\n",
        good + "b @ git+https://example.org/b\n",
        "--index-url https://example.org/simple\n" + good,
        "--find-links /wheels\n" + good,
    ):
        assert refused(bad), bad
    assert subprocess.run([ROOT / ".ci" / "requirements"], check=False).returncode == 0
