"""How a run goes, for the person who waits: a live table on a terminal, a line for each change elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from batches.core.text.words import duration
from ce_web.command_line.terminal import say, visible

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

SHOWN_TASKS = 60  # more rows than a terminal has help nobody: the finished ones go first
COLOURS = {"succeeded": "green", "running": "cyan", "failed": "red", "blocked": "yellow", "cancelled": "yellow"}
JsonObject = dict[str, Any]


class Progress:
    """Shows each reading of a run (the API's object) until its report is written.

    `at_most` seconds after the first reading it is done in any case, so that a caller with a time limit can wait in parts.
    """

    def __init__(self, read: Callable[[], JsonObject], at_most: float | None = None) -> None:
        self.read, self.at_most = read, at_most
        self.began = time.monotonic()
        self.run: JsonObject | None = None
        self._shown: dict[tuple[int, str], tuple[object, ...]] = {}
        self._waits: object = None
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def done(self) -> bool:
        """Read once and show what is new. True once the report is written, or the time is over."""
        self.run = self.read()
        if self._live is not None:
            self._live.update(_table(self.run), refresh=True)
        else:
            self._lines(self.run)
        return self.ended or (self.at_most is not None and time.monotonic() - self.began >= self.at_most)

    @property
    def ended(self) -> bool:
        return self.run is not None and self.run["reported_at"] is not None

    def _lines(self, run: JsonObject) -> None:
        for task in run["tasks"]:
            key = (task["stage"], task["phase"] or "")
            shown = (task["state"], task["attempt"], task["progress"])
            if shown != self._shown.get(key, ("pending", None, "")):
                say(f"[stage {task['stage']}] {_name(task)}: {_words(task)}", err=True)
            self._shown[key] = shown
        if run["waits"] != self._waits:
            self._waits = run["waits"]
            say(f"{self._waits or 'The machine works again.'}", err=True)


def _name(task: JsonObject) -> str:
    return f"Phase {task['phase']}" if task["phase"] else str(task["title"])


def _words(task: JsonObject) -> str:
    words = [str(task["state"])]
    if (task["attempt"] or 1) > 1:
        words.append(f"(attempt {task['attempt']})")
    if task["progress"]:
        words.append(f"- {task['progress']}")
    if task["state"] == "succeeded" and task["seconds"] is not None:
        words.append(f"in {duration(task['seconds'])}")
    if task["message"]:
        words.append(f"- {task['reason'] + ': ' if task['reason'] else ''}{task['message']}")
    return " ".join(words)


def _table(run: JsonObject) -> "Table":
    from rich.table import Table
    from rich.text import Text

    done = sum(task["state"] == "succeeded" for task in run["tasks"])
    head = f"Batch {run['batch_id']}, run {run['run']}: {run['state']}, {done} of {len(run['tasks'])}, {duration(run['seconds'])}"
    waits = Text(visible(run["waits"])) if run["waits"] else None
    table = Table(title=Text(visible(head)), title_justify="left", box=None, pad_edge=False, caption=waits)
    for name in ("Stage", "Phase", "State", "Time", ""):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    left_out = max(0, len(run["tasks"]) - SHOWN_TASKS)
    shown = []
    for task in run["tasks"]:
        if left_out and task["state"] == "succeeded":
            left_out -= 1
        else:
            shown.append(task)
    for task in shown[:SHOWN_TASKS]:
        name = f"{task['phase']}: {task['title']}" if task["phase"] else task["title"]
        what = task["progress"] or task["message"]
        seconds = "" if task["seconds"] is None else duration(task["seconds"])
        # Text, not markup: brackets in a title are no styles.
        cells = (str(task["stage"]), name, task["state"], seconds, what)
        table.add_row(*(Text(visible(str(cell).replace("\n", " "))) for cell in cells), style=COLOURS.get(task["state"], ""))
    return table
