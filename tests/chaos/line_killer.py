"""Run inside an installation (`manage.py shell`): be its ticker, and die by SIGKILL at every line of it, once each.

A parent forks one ticker after another. Each kills itself when it reaches a line of the engine at which none has died
yet; the last one, which finds no such line any more, carries the run to its end. Prints how many have died.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import CodeType, FrameType

from django.conf import settings
from django.db import connections

from batches.engine import attempt_results, autopilot, execution, orchestrator, reporting, ticker
from batches.models import Run
from batches.repositories import merges
from subagents import launcher, references, workspace

# Whose lines are meant: everything between looking at an attempt and having acted on what was decided.
SCOPE: dict[str, tuple[str, ...]] = {
    ticker.__file__: ("observe_all", "_observe", "_missing", "_mirror", "advance_all", "clean_up", "_remove_checkouts"),
    orchestrator.__file__: ("*",),
    attempt_results.__file__: ("record_end", "_store_result", "fill_diffs", "put_files_away"),
    reporting.__file__: ("finish", "_write_files"),
    autopilot.__file__: ("follow_up", "_start"),
    execution.__file__: ("start_execution",),
    merges.__file__: ("bring_in",),
    workspace.__file__: ("merge", "merge_of", "bring_in", "move_ref", "make_commit", "ensure_branch"),
    references.__file__: ("move_plainly", "_locked", "_unlock", "_note", "is_dead"),
    launcher.__file__: ("prepare", "_archive_earlier", "launch", "prevent_start", "stop", "remove_checkout"),
}


def in_scope(code: CodeType) -> bool:
    names = SCOPE.get(code.co_filename, ())
    return code.co_name in names or (names == ("*",) and not code.co_name.startswith("<"))


def die_at_a_new_line(story: str) -> Callable[[FrameType, str, object], object]:
    """A trace function that kills this process at the first line in scope that `story` does not name, and names it there."""
    with open(story) as file:
        died = set(file.read().split())

    def trace(frame: FrameType, event: str, argument: object) -> object:
        if not in_scope(frame.f_code):
            return None
        if event == "line":
            line = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
            if line not in died:
                descriptor = os.open(story, os.O_WRONLY | os.O_APPEND)
                os.write(descriptor, line.encode() + b"\n")
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def tick(runs: int, story: str, seconds: float) -> None:
    """One ticker, to its death or to the end of so many runs."""

    def done() -> bool:
        return Run.objects.filter(reported_at__isnull=False).count() >= runs

    own = ticker.Ticker(settings.CE_HOST)
    sys.settrace(die_at_a_new_line(story))
    with ticker.ticker_lock():
        own.run(seconds, should_stop=done)
    sys.settrace(None)
    os._exit(0 if done() else 3)


def main(runs: int, story: str, seconds: float) -> None:
    """Tickers until `runs` runs have been reported. Raises AssertionError when that takes longer than `seconds`."""
    open(story, "w").close()
    deadline, deaths = time.monotonic() + seconds, 0
    while True:
        connections.close_all()
        pid = os.fork()
        if pid == 0:
            try:
                tick(runs, story, seconds)
            finally:
                os._exit(4)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == 0:
            break
        assert status == -signal.SIGKILL, f"a ticker ended with {status}"
        assert time.monotonic() < deadline, f"after {deaths} deaths the runs have not ended"
        deaths += 1
    print(deaths)
