"""The settings file: what it may say, and how it is told what is wrong."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import actions, keynames, themefiles
from app.cli import main
from app.labels import labels, left
from app.settings import OPTIONS, Configuration, Settings, document, parse, told, understand

THEMES = tuple(themefiles.ours())


def read(source: str) -> tuple[Settings, list[str]]:
    found, problems = parse(source)
    settings, more = understand(found, THEMES)
    return settings, [told("settings.toml", problem) for problem in problems + more]


def test_an_empty_file_is_the_defaults() -> None:
    assert read("") == (Settings(), [])


def test_what_it_says_counts() -> None:
    settings, problems = read(
        '[screen]\ntheme = "multitrack-light"\nascii = true\nlow_bandwidth = true\nbell = false\n'
        '[keys]\nkill = "K"\nfaster = ["*", "f5"]\npalette = "ctrl+k"\n'
    )
    assert not problems
    assert settings == Settings(
        "multitrack-light", True, True, False, {"kill": ("K",), "faster": ("asterisk", "f5"), "palette": ("ctrl+k",)}
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("[screen]\n\nbell = 3", "settings.toml:3: screen.bell: is 3; it should be true or false"),
        ('[screen]\nascii = "yes"', 'settings.toml:2: screen.ascii: is "yes"; it should be true, false or "auto"'),
        ("[screen]\nbel = true", "settings.toml:2: screen.bel: is unknown; did you mean bell?"),
        (
            '[screen]\ntheme = "multitrack-lite"',
            "settings.toml:2: screen.theme: there is no theme 'multitrack-lite'; did you mean multitrack-light?",
        ),
        ("bell = true", "settings.toml:1: bell: is unknown; it belongs under [screen]"),
        ('kill = "x"', "settings.toml:1: kill: is unknown; it belongs under [keys]"),
        ("[colours]", "settings.toml:1: colours: is unknown; there are [screen] and [keys]"),
        ("screen = 1", "settings.toml:1: screen: is no table; write [screen] on a line of its own"),
        ('[keys]\nkil = "x"', "settings.toml:2: keys.kil: there is no such action; did you mean kill?"),
        ("[keys]\nkill = 1", 'settings.toml:2: keys.kill: is no key; it should be a key such as "x", or'),
        ("[keys]\nkill = []", 'settings.toml:2: keys.kill: is no key; it should be a key such as "x", or'),
        ('[keys]\nkill = "hyper"', "settings.toml:2: keys.kill: 'hyper' is no key; a key is a character, a name"),
        ('[keys]\nkill = "ctrl+c"', "'ctrl+c' can't be an action's key: it copies what the mouse has marked; take"),
        ('[keys]\nkill = "p"', "settings.toml:2: keys.kill: p is the key of pause, too; take another, or give pause"),
        ('[keys]\nkill = "3"', "settings.toml:2: keys.kill: 3 is the key of traces, too"),
        ("[screen\n", "settings.toml:1: this is not TOML"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_line_key_and_what_would_be_right(source: str, said: str) -> None:
    settings, problems = read(source)
    assert len(problems) == 1
    assert said in problems[0]
    assert settings == Settings()


def test_letters_of_other_keyboards_are_keys() -> None:
    assert read('[keys]\nkill = "ö"\nearlier = "é"') == (Settings(keys={"kill": ("ö",), "earlier": ("é",)}), [])


def test_one_mistake_leaves_the_rest() -> None:
    settings, problems = read('[screen]\nbell = 1\nlow_bandwidth = true\n[keys]\nkill = "p"\nsteer = "S"\n')
    assert settings == Settings(low_bandwidth=True, keys={"steer": ("S",)})
    assert len(problems) == 2


def test_two_actions_may_change_keys_with_each_other() -> None:
    settings, problems = read('[keys]\nkill = "s"\nrestart = "x"\n')
    assert not problems
    assert settings.keys == {"kill": ("s",), "restart": ("x",)}


def test_the_same_key_may_mean_something_else_on_another_screen() -> None:
    assert not read('[keys]\nkill = "h"')[1]


@pytest.mark.parametrize("action", actions.ACTIONS, ids=lambda action: action.id)
def test_every_key_of_ours_is_read_back_as_it_is_written(action: actions.Action) -> None:
    for key in action.keys:
        assert keynames.textual(keynames.written(key)) == key
        assert key not in keynames.TAKEN


def test_the_printed_file_is_read_as_the_same_settings() -> None:
    for settings in (
        Settings(),
        Settings("multitrack-contrast", True, True, False, {"kill": ("K",), "search": ("slash", "backslash")}),
    ):
        assert read(document(settings)) == (settings, [])
    whole = document(Settings())
    assert all(option.name in whole for option in OPTIONS)
    assert all(f"\n# {action.id} = " in whole for action in actions.ACTIONS)
    # Every default, spelled out, is a settings file that changes nothing.
    spelled = "\n".join(line[2:] if " = " in line and line[2:3].islower() else line for line in whole.splitlines())
    settings, problems = read(spelled)
    assert not problems
    assert actions.with_keys(settings.keys) == actions.ACTIONS


@given(st.text(max_size=300))
def test_no_text_is_too_strange_for_it(source: str) -> None:
    settings, _ = read(source)
    assert isinstance(settings, Settings)


@given(
    st.dictionaries(
        st.sampled_from([action.id for action in actions.ACTIONS]), st.lists(st.characters(codec="ascii"), max_size=2)
    )
)
def test_whatever_is_rebound_no_key_means_two_things(keys: dict[str, list[str]]) -> None:
    found, _ = parse("[keys]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in keys.items()))
    settings, _ = understand(found, THEMES)
    everyone = actions.with_keys(settings.keys)
    for screen in actions.SCREENS:
        here = [key for one in everyone if {screen, actions.EVERYWHERE} & {*one.where} for key in one.keys]
        assert len(here) == len(set(here))


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[screen]\nascii = false\nlow_bandwidth = true\n", "utf-8")
    environ = {"MULTITRACK_ASCII": "1", "MULTITRACK_LOW_BANDWIDTH": "0"}
    settings, _ = Configuration(tmp_path, environ).read(THEMES)
    assert (settings.ascii, settings.low_bandwidth) == (True, False)
    assert Configuration.default({"MULTITRACK_CONFIG": str(tmp_path)}).folder == tmp_path


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cant_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "settings.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    settings, problems = Configuration(tmp_path).read(THEMES)
    assert settings == Settings()
    assert len(problems) == 1


def test_the_command_prints_the_file_and_what_is_wrong_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MULTITRACK_CONFIG", str(tmp_path))
    assert main(["settings"]) == 0
    printed = capsys.readouterr().out
    assert str(tmp_path / "settings.toml") in printed
    assert read(printed) == (Settings(), [])
    (tmp_path / "settings.toml").write_text('[keys]\nkill = "p"\n', "utf-8")
    assert main(["settings", "--json"]) == 2
    facts = json.loads(capsys.readouterr().out)
    assert facts["keys"]["kill"] == ["x"]
    assert facts["problems"][0]["line"] == 2
    assert main(["settings"]) == 2
    assert f"{tmp_path / 'settings.toml'}:2: keys.kill:" in capsys.readouterr().err


def test_the_command_makes_the_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "not" / "yet"
    monkeypatch.setenv("MULTITRACK_CONFIG", str(folder))
    file = folder / "settings.toml"
    assert main(["settings", "--write"]) == 0
    assert f"{file} is made" in capsys.readouterr().err
    assert read(file.read_text("utf-8")) == (Settings(), [])
    file.write_text('[screen]\ntheme = "multitrack-light"\n', "utf-8")
    assert main(["settings", "--write"]) == 0
    assert "stays as it is" in capsys.readouterr().err
    assert file.read_text("utf-8") == '[screen]\ntheme = "multitrack-light"\n'
    monkeypatch.setenv("MULTITRACK_CONFIG", str(file))
    assert main(["settings", "--write"]) == 3
    assert "can't be written" in capsys.readouterr().err


def test_themes_of_the_operators_own(tmp_path: Path) -> None:
    (tmp_path / "dusk.toml").write_text('accent = "#ffaa00"\n[variables]\nfaint = "#888888"\n', "utf-8")
    (tmp_path / "noon.toml").write_text('name = "midday"\ndark = false\n', "utf-8")
    (tmp_path / "plain.toml").write_text("ansi = true\n", "utf-8")
    bad = 'dark = 1\naccent = "blueish"\nacent = "red"\n[variables]\nfaitn = "red"\n'
    (tmp_path / "bad.toml").write_text(bad, "utf-8")
    (tmp_path / "clash.toml").write_text('name = "multitrack-dark"\n', "utf-8")
    (tmp_path / "torn.toml").write_bytes(b"\xff")
    found, wrong = themefiles.own(tmp_path)
    assert set(found) == {"dusk", "midday", "plain"}
    ours = themefiles.ours()
    assert (found["dusk"].accent, found["dusk"].variables["faint"]) == ("#ffaa00", "#888888")
    assert found["dusk"].background == ours["multitrack-dark"].background
    assert found["midday"].background == ours["multitrack-light"].background
    assert found["plain"].variables == ours["multitrack-terminal"].variables
    said = [told(path.name, problem) for path, problem in wrong]
    assert [line.partition(":")[0] for line in said] == ["bad.toml"] * 4 + ["clash.toml", "torn.toml"]
    assert "bad.toml:2: accent: 'blueish' is no colour" in said[1]
    assert "bad.toml:3: acent: is unknown; did you mean accent?" in said
    assert "bad.toml:5: variables.faitn: is unknown; did you mean faint?" in said


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("name", "least"), [("multitrack-dark", 4.5), ("multitrack-light", 4.5), ("multitrack-contrast", 7.0)]
)
def test_what_is_read_stands_out_from_its_background(name: str, least: float) -> None:
    theme = themefiles.ours()[name]
    named = ("foreground", "accent", "warning", "error", "success")
    every = {**theme.variables, **{one: getattr(theme, one) for one in named}}
    grounds = [getattr(theme, one) for one in ("background", "surface", "panel")]
    inks = ["foreground", "accent", "warning", "error", "success", "faint", "reasoning", "tool"]
    inks += [f"code-{one}" for one in ("keyword", "string", "comment", "number", "name")]
    for ink in inks:
        for ground in grounds[:1] if ink.startswith("code") else grounds:
            high, low = sorted((_luminance(every[ink]), _luminance(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, (ink, ground)
    for ink, ground in (("added", "added-background"), ("removed", "removed-background"), ("foreground", "cursor")):
        high, low = sorted((_luminance(every[ink]), _luminance(every[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


@given(st.integers(min_value=0, max_value=700))
def test_labels_are_as_many_as_asked_for_and_none_begins_another(count: int) -> None:
    names = labels(count)
    assert len(names) == min(count, 26 * 26)
    # Sorted, a name stands right before what it begins.
    assert not any(other.startswith(name) for name, other in pairwise(sorted(names)))
    for name in names[:3] + names[-3:]:
        assert len(left(names, name)) == 1
