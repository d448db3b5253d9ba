"""The provider's key: where it may come from, and who may read it."""

import io
import os
import stat
from pathlib import Path

import pytest

from app.cli import main
from app.credentials import VARIABLE, CredentialsError, forget, path, provider_environ, provider_key, save
from app.failure import Exit

KEY = "sk-ant-api03-A_b-9"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"MULTITRACK_HOME": str(tmp_path / "home")}


def test_the_environment_goes_before_the_file(environ: dict[str, str]) -> None:
    file = save(environ, f" {KEY}\n")
    assert provider_key(environ) == (KEY, str(file))
    assert provider_key({**environ, VARIABLE: "other"}) == ("other", f"${VARIABLE}")
    assert provider_key({**environ, VARIABLE: "  "}) == (KEY, str(file))
    assert provider_environ({**environ, "A": "b"}) == {**environ, "A": "b", VARIABLE: KEY}


def test_only_its_user_can_read_it_and_nothing_is_left_beside_it(environ: dict[str, str]) -> None:
    before = os.umask(0)
    try:
        file = save(environ, "first")
        save(environ, KEY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in file.parent.iterdir()] == ["credentials.toml"]
    assert provider_key(environ)[0] == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_file_that_others_can_touch_is_refused(environ: dict[str, str], mode: int) -> None:
    file = save(environ, KEY)
    file.chmod(mode)
    with pytest.raises(CredentialsError, match="chmod 600") as caught:
        provider_key(environ)
    assert KEY not in str(caught.value)
    assert provider_key({**environ, VARIABLE: "other"})[0] == "other", "the environment is enough"


def test_without_a_key_it_says_how_to_give_one(environ: dict[str, str]) -> None:
    with pytest.raises(CredentialsError, match="multitrack login") as caught:
        provider_key(environ)
    assert caught.value.code == Exit.ENVIRONMENT
    assert not Path(environ["MULTITRACK_HOME"]).exists()


@pytest.mark.parametrize("text", ["anthropic = 5", "other = 'x'", "anthropic = ''"])
def test_a_file_without_a_key_has_none(environ: dict[str, str], text: str) -> None:
    file = save(environ, KEY)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CredentialsError, match="there is no key"):
        provider_key(environ)


def test_what_is_no_file_of_ours_is_refused(environ: dict[str, str]) -> None:
    file = save(environ, KEY)
    file.write_bytes(b"\xff\xfe not toml [")
    with pytest.raises(CredentialsError, match="can't be read"):
        provider_key(environ)
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.raises(CredentialsError, match="no ordinary file"):
        provider_key(environ)


@pytest.mark.parametrize("key", ["", "  \n", "two words", "tab\tbed", "kéy", "esc\x1b[0m"])
def test_what_can_be_no_key_is_not_kept(environ: dict[str, str], key: str) -> None:
    with pytest.raises(CredentialsError, match="no key"):
        save(environ, key)
    assert not path(environ).exists()


def test_the_place_without_a_home_is_the_users_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path({}).name == "credentials.toml"
    assert tmp_path in path({}).parents


def test_login_reads_standard_input_and_logout_removes_it(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MULTITRACK_HOME", environ["MULTITRACK_HOME"])
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    assert main(["login"]) == Exit.FINE
    told = capsys.readouterr()
    assert KEY not in told.out + told.err
    assert provider_key(environ)[0] == KEY
    assert main(["logout"]) == Exit.FINE
    assert main(["logout"]) == Exit.FINE
    assert "no key to remove" in capsys.readouterr().out
    assert forget(environ) is None


def test_a_key_is_never_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["login", KEY]) == Exit.USAGE
    assert main(["login", "--help"]) == Exit.FINE
    assert "never an argument" in capsys.readouterr().out
