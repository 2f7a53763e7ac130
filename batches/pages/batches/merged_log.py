"""The log of a batch, merged from the log tails of its latest attempts."""

from collections.abc import Sequence
from datetime import datetime

from batches.core.text.log_lines import LogLine, read_log
from batches.models import Attempt, Task

LOGS_READ = 6  # attempts whose log tails are merged
LOG_LINES = 120


def merged_log(attempts: Sequence[Attempt], tasks: Sequence[Task]) -> tuple[LogLine, ...]:
    """The last LOG_LINES lines of the live attempts, or of the latest ones, in order of time."""
    names = {task.pk: task.name for task in tasks}
    known = [attempt for attempt in attempts if attempt.task_id in names and attempt.log_bytes]
    live = [attempt for attempt in known if attempt.ended_at is None]
    chosen = sorted(live or known, key=lambda attempt: attempt.ended_at or attempt.launched_at)[-LOGS_READ:]
    if not chosen:
        return ()
    tails = dict(Attempt.objects.filter(pk__in=[attempt.pk for attempt in chosen]).values_list("pk", "log_tail"))
    lines: list[tuple[datetime, int, LogLine]] = []
    for attempt in chosen:
        previous = attempt.launched_at
        for line in read_log(tails[attempt.pk], who=names[attempt.task_id], limit=LOG_LINES):
            previous = line.at or previous
            lines.append((previous, len(lines), line))
    return tuple(line for _at, _place, line in sorted(lines, key=lambda entry: entry[:2]))[-LOG_LINES:]
