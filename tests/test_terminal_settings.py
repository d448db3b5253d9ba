"""Settings, labels and sizes in a real terminal."""

from pathlib import Path

import pytest

from tests import record, runs
from tests.terminal import terminal

pytestmark = pytest.mark.timeout(300)


def test_keys_labels_and_sizes_on_a_slow_link_in_ascii(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "settings.toml").write_text('[screen]\ntheme = "multitrack-terminal"\n[keys]\ntraces = "f3"\n', "utf-8")
    with record.recorded(tmp_path / "home") as home:
        environ = {
            "MULTITRACK_HOME": str(home.root),
            "MULTITRACK_CONFIG": str(folder),
            "MULTITRACK_ASCII": "1",
            "TERM": "screen",
        }
        command = [runs.PYTHON, "-P", "-m", "app", "--low-bandwidth"]
        with terminal(command, environ, 100, 30) as screen:
            shown = screen.shows("f3 Traces", record.LIVE, record.BROKEN)
            assert shown.isascii()
            screen.type("F3")
            screen.shows("generation 2", "tokens")
            screen.type("'")
            screen.shows("a1 Runs", "s2 Grid")
            screen.type("s")
            screen.shows("2.1 reproduce-first")
            for columns, rows in ((20, 5), (1, 1), (220, 60), (80, 24)):
                screen.resize(columns, rows)
            shown = screen.until(
                lambda now: "2.1 reproduce-first" in now and max(map(len, now.splitlines())) <= 80, "the grid"
            )
            assert shown.isascii()
            (folder / "settings.toml").write_text('[keys]\nkil = "x"\n', "utf-8")
            screen.shows("keys.kil", "3 Traces")
            screen.type("q")
            screen.until(lambda _: not screen.alive, "the screen's end")
