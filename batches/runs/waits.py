"""Waits of a run that are over, as columns of its row."""

from datetime import datetime

from batches.core.engine.states import Waiting
from batches.core.metrics.durations import span_seconds
from batches.models import Run


def waited_columns(run: Run, kind: str, since: datetime, until: datetime) -> dict[str, object]:
    """The columns of `run` with the wait for `kind` from `since` to `until` added; a wait for a person also as an idle span."""
    seconds = span_seconds(since, until)
    columns: dict[str, object] = {"waited": run.waited | {kind: round(run.waited.get(kind, 0.0) + seconds, 3)}}
    if kind == Waiting.PERSON and seconds:
        columns["idle"] = [*run.idle, [since.isoformat(), until.isoformat()]]
    return columns
