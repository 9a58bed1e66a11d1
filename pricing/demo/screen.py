"""Where the demo writes: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TextIO

from rich.console import Console
from rich.live import Live

from pricing.demo.view import View, line, table

_LINE_EVERY_S: Final = 5.0


class Screen(Protocol):
    """Shows progress, then one view after the other."""

    def say(self, text: str) -> None:
        """Write one line that stays."""
        ...

    def show(self, view: View) -> None:
        """Show how things are now; may leave a view out."""
        ...

    def freeze(self) -> None:
        """Leave the last view standing; lines follow below it."""
        ...


class TerminalScreen:
    """A table that is drawn anew in place. `freeze` gives the terminal back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """Write above the table."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, view: View) -> None:
        """Draw the table."""
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(table(view), refresh=True)

    def freeze(self) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class PlainScreen:
    """Lines, flushed one by one, at most one view every five seconds."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown_at: float | None = None

    def say(self, text: str) -> None:
        """Write a line."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def show(self, view: View) -> None:
        """Write a view where the last one is old enough."""
        if self._shown_at is None or view.elapsed_s - self._shown_at >= _LINE_EVERY_S:
            self._shown_at = view.elapsed_s
            self.say(line(view))

    def freeze(self) -> None:
        """Nothing to give back."""


@contextmanager
def open_screen(out: TextIO) -> Iterator[Screen]:
    """The screen that fits where output goes; leaving gives the terminal back."""
    screen: Screen = TerminalScreen(Console(file=out)) if out.isatty() else PlainScreen(out)
    try:
        yield screen
    finally:
        screen.freeze()
