"""The state of the installation in Prometheus' text format (docs/metrics.md), from rows, within what the request may see.

The format is a few lines of text, and every figure is in the database; so there is no library, and nothing to keep between
the web processes.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db.models import Count, Max, Sum

from batches.core.engine.states import TaskState
from batches.models import Attempt, AttemptFact, Host, Notification, Run, RunFact, Task
from batches.models.visibility import sees_all

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[dict[str, str], float]
LIVE_TASKS = (TaskState.PENDING, TaskState.LAUNCHING, TaskState.RUNNING)


def exposition(now: datetime) -> str:
    """Every figure. Hosts are told only to those who may see every project. Fourteen queries at most."""
    return "".join(_family(*family) for family in _families(now))


def _families(now: datetime) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    live = Run.objects.live()
    yield "ce_runs", "gauge", "Runs that are queued or running.", _counted(live, ("state", "operation"))
    tasks = Task.objects.filter(run__in=live.values("pk"), state__in=LIVE_TASKS)
    yield "ce_tasks", "gauge", "Tasks of these runs that have not ended.", _counted(tasks, ("state",))
    yield "ce_attempts_running", "gauge", "Attempts whose process is at work.", _counted(Attempt.objects.live(), ("host",))
    asking = sum(1 for one in Attempt.objects.live().exclude(questions=[]).only("questions", "exited_at") if one.open_question)
    yield "ce_questions_open", "gauge", "Questions of agents that wait for a person.", [({}, asking)]
    paused = live.exclude(trouble="", machine_fault="").count()
    yield "ce_runs_put_off", "gauge", "Runs that wait for the machine or the provider.", [({}, paused)]
    facts = AttemptFact.objects.filter(demo=False)
    by = ("project__slug", "operation", "outcome", "reason")
    yield "ce_attempts_total", "counter", "Attempts that have ended.", _counted(facts, by)
    of = ("project__slug", "model")
    yield "ce_attempt_seconds_total", "counter", "Seconds that ended attempts took.", _summed(facts, of, "seconds")
    yield "ce_tokens_total", "counter", "Tokens that they used, as far as known.", _summed(facts, of, "tokens")
    cost = [(labels, value / 1e6) for labels, value in _summed(facts, of, "cost_micros")]
    yield "ce_cost_usd_total", "counter", "US dollars that they cost, as far as known.", cost
    runs = RunFact.objects.filter(demo=False)
    yield "ce_runs_total", "counter", "Runs that have ended.", _counted(runs, ("project__slug", "operation", "run__state"))
    unsent = Notification.objects.filter(sent_at=None)
    yield "ce_notifications_unsent", "gauge", "Notifications that have not been sent yet.", _counted(unsent, ("channel",))
    if sees_all():
        hosts = list(Host.objects.all())
        slots: list[Sample] = [({"host": host.name}, host.slots) for host in hosts]
        yield "ce_host_slots", "gauge", "Room for attempts on a host.", slots
        seen = [({"host": host.name}, (now - host.last_tick_at).total_seconds()) for host in hosts if host.last_tick_at]
        yield "ce_host_last_tick_seconds", "gauge", "Seconds since the ticker of a host was at work.", seen
    newest = facts.aggregate(newest=Max("ended_at"))["newest"]
    ended: list[Sample] = [] if newest is None else [({}, newest.timestamp())]
    yield "ce_last_attempt_ended_timestamp_seconds", "gauge", "When the newest attempt ended, as a Unix time.", ended


def _counted(rows: "object", by: tuple[str, ...]) -> list[Sample]:
    """How many rows there are of each combination of `by`."""
    return _grouped(rows, by, Count("pk"))


def _summed(rows: "object", by: tuple[str, ...], column: str) -> list[Sample]:
    return _grouped(rows, by, Sum(column))


def _grouped(rows: "object", by: tuple[str, ...], what: Count | Sum) -> list[Sample]:
    found = rows.order_by().values_list(*by).annotate(value=what).order_by(*by)  # type: ignore[attr-defined]
    names = [name.removesuffix("__slug").removeprefix("run__") for name in by]
    return [(dict(zip(names, map(str, row[:-1]), strict=True)), row[-1] or 0) for row in found]


def _family(name: str, kind: str, words: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{told}}} {value:.15g}" if told else f"{name} {value:.15g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
