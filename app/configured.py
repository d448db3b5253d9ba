"""The app as the operator has set it up: keys, theme, bell, links that are slow. What is changed in the files counts at
once."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual import events
from textual.message import Message
from textual.widgets import Input, TextArea

from app import actions, terminal, themefiles
from app.playback.playing import Playing
from app.settings import Configuration, Settings, told
from widgets.ink import ASCII

TICK = 1 / 8
"""Seconds between two looks at what has changed: one clock for the whole app."""
SLOW_TICK = 1.0
"""The same on a slow link."""
SLOW_CLOCK = 30.0
"""Seconds in which the times on the screens go on there."""
ABSENT = 2.0
"""Seconds between two looks for a configuration folder that is not there."""
SAID = 3
"""Problems that are told one by one."""


class Changed(Message):
    """A file in the configuration folder is another."""


class Configured(Playing):
    """An app with settings. Without a configuration it has the defaults, and watches nothing."""

    def __init__(
        self,
        *given: Any,
        configuration: Configuration | None = None,
        ascii_only: bool | None = None,
        low_bandwidth: bool | None = None,
        **more: Any,
    ) -> None:
        """What is given here goes before what the settings say."""
        if not os.environ.get("NO_COLOR", "unset"):
            # Empty is as if it were not there (https://no-color.org), but Textual takes it for a wish.
            del os.environ["NO_COLOR"]
        super().__init__(*given, **more)
        self.configuration = configuration
        self._given = ascii_only, low_bandwidth
        self._themes = themefiles.ours()
        self._wrong: list[str] = []
        self._watch_ends = threading.Event()
        self.settings = Settings()
        self._read_settings()
        self.ascii = self._wanted_ascii()
        self.low_bandwidth = self.settings.low_bandwidth if low_bandwidth is None else low_bandwidth
        self.set_class(self.ascii, "ascii")
        if self.ascii or self.low_bandwidth:
            # Nothing glides, and nothing turns while one waits.
            self.animation_level = "none"
        self.theme = self.settings.theme

    @property
    def tick_seconds(self) -> float:
        """How often the screens look at what has changed."""
        return SLOW_TICK if self.low_bandwidth else TICK

    def now(self) -> float:
        now = super().now()
        if not self.low_bandwidth or self.playback is not None:
            return now
        return now - now % SLOW_CLOCK

    def say(self, text: str, severity: str = "information") -> None:
        super().say(text.translate(ASCII) if self.ascii else text, severity)

    def bell(self) -> None:
        if self.settings.bell:
            super().bell()

    @property
    def theme_names(self) -> list[str]:
        """Ours and the operator's own."""
        return list(self._themes)

    def choose_theme(self, name: str) -> None:
        """Show another theme."""
        self.theme = name
        self.say(f"Theme {name}.")

    def next_theme(self) -> None:
        """Show the theme that comes after this one."""
        names = self.theme_names
        at = names.index(self.theme) if self.theme in names else -1
        self.choose_theme(names[(at + 1) % len(names)])

    def begin_configured(self) -> None:
        """The screens stand: say what is wrong in the settings, and watch them from now on."""
        self._tell()
        if self.configuration is not None:
            folder = self.configuration.folder
            threading.Thread(
                target=watch, args=(folder, self._watch_ends, lambda: self.post_message(Changed())), daemon=True
            ).start()

    def end_configured(self) -> None:
        """Watch no more."""
        self._watch_ends.set()

    def on_changed(self) -> None:
        """Take what the files say now."""
        before, shown = self.settings, self._themes.get(self.theme)
        self._read_settings()
        if self.settings.theme != before.theme:
            self.theme = self.settings.theme
        elif self.theme not in self._themes:
            self.theme = Settings().theme
        elif self._themes[self.theme] != shown:
            # Textual does not look again at a theme that it shows.
            self._watch_theme(self.theme)
        place = getattr(self, "place", None)
        if place is not None:
            place.renew()
        self._tell()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, Input | TextArea) and (self.low_bandwidth or self.ascii):
            event.widget.cursor_blink = False

    def _wanted_ascii(self) -> bool:
        for wanted in (self._given[0], self.settings.ascii):
            if wanted is not None:
                return wanted
        return terminal.ascii_wanted()

    def _read_settings(self) -> None:
        themes, self._wrong = themefiles.ours(), []
        if self.configuration is not None:
            own, wrong = themefiles.own(self.configuration.themes)
            themes |= own
            self._wrong = [told(path.name, problem) for path, problem in wrong]
        for theme in themes.values():
            self.register_theme(theme)
        self._themes = themes
        if self.configuration is not None:
            self.settings, problems = self.configuration.read(themes)
            self._wrong += [told(self.configuration.file.name, problem) for problem in problems]
        actions.rebind(self.settings.keys)
        self.set_keymap({name: ",".join(keys) for name, keys in self.settings.keys.items()})

    def _tell(self) -> None:
        for said in self._wrong[:SAID]:
            self.say(said, "warning")
        if len(self._wrong) > SAID:
            more = len(self._wrong) - SAID
            self.say(f"{more} more {'is' if more == 1 else 'are'} wrong; `multitrack settings` tells all.", "warning")


def watch(folder: Path, ends: threading.Event, changed: Callable[[], object]) -> None:
    """Tell whenever a file in the folder has become another, until it ends; a folder that is not there may come. For a
    thread of its own."""
    if not folder.is_dir():
        while not folder.is_dir():
            if ends.wait(ABSENT):
                return
        changed()
    from watchfiles import watch as changes

    try:
        for _ in changes(folder, stop_event=ends, rust_timeout=500, yield_on_timeout=False):
            changed()
    except OSError:
        # A folder that is taken away, or a machine that can watch no more: the settings stay as they are.
        return
