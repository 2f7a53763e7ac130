"""The tasks of django-q2: short and repeatable. Only this module calls async_task.

A task may run more than once and may be killed at any line. Tasks return only text.
"""

import logging
import time

from django.conf import settings
from django.utils import timezone
from django_q.tasks import async_task

from batches.engine import disk_space, predictions, pull_requests, retention, running_diffs, ticker, worker_hosts
from batches.integrations import linear_issues, notifications
from batches.models import Host, Run
from batches.repositories import kept_work, merges
from ce_web.cluster import request_stop, stop_requested
from subagents import idle_places

logger = logging.getLogger(__name__)

EXCHANGE_SECONDS = 1.0  # between two looks for runs that travel between hosts


def enqueue_tick() -> None:
    """Queue one slice of the ticker for this host's cluster, in the current transaction."""
    async_task("batches.tasks.tick_slice", q_options={"save": False, "cluster": settings.CE_HOST, "task_name": f"tick-{settings.CE_HOST}"})


class _Rounds:
    """Asked in each round of the ticker whether to stop; once a second it queues what is due for runs that travel between hosts."""

    def __init__(self) -> None:
        self.looked = time.monotonic()
        self.several = settings.CE_WORKER or Run.objects.exclude(travel="").exists() or Host.objects.exclude(directory="").exists()

    def __call__(self) -> bool:
        if self.several and time.monotonic() - self.looked >= EXCHANGE_SECONDS:
            self.looked = time.monotonic()
            if worker_hosts.has_work():
                async_task("batches.tasks.exchange", q_options={"save": False, "cluster": settings.CE_HOST})
        return stop_requested()


def exchange() -> str:
    """Send and fetch the branches of runs that go to a worker host or come home. May run in parallel: a lock lets one of them work."""
    return worker_hosts.exchange()


def tick_slice() -> str:
    """Run the ticker for CE_SLICE_SECONDS, then queue the next slice before releasing the lock. A surplus slice ends at once.

    A waiting command may have taken the lock between two slices. Then the slice waits for the lock or queues another slice, so
    that the ticker continues after the command.
    """
    end = time.monotonic() + settings.CE_SLICE_SECONDS
    while not stop_requested():
        try:
            with ticker.ticker_lock():
                try:
                    ticker.Ticker(settings.CE_HOST).run(settings.CE_SLICE_SECONDS, should_stop=_Rounds())
                except ticker.NotTheEngine as problem:
                    logger.critical("%s", problem)
                    request_stop()
                finally:
                    if not stop_requested() and settings.CE_WORKER:
                        enqueue_tick()
                    elif not stop_requested():
                        if linear_issues.has_work(timezone.now()):
                            async_task("batches.tasks.create_issues", q_options={"save": False, "cluster": settings.CE_HOST})
                        if notifications.has_work(timezone.now()):
                            async_task("batches.tasks.send_notices", q_options={"save": False, "cluster": settings.CE_HOST})
                        if pull_requests.has_work(timezone.now()):
                            async_task("batches.tasks.look_after_pull_requests", q_options={"save": False, "cluster": settings.CE_HOST})
                        if running_diffs.is_watched(settings.CE_HOST):
                            async_task("batches.tasks.read_running_diffs", q_options={"save": False, "cluster": settings.CE_HOST})
                        enqueue_tick()
            return "done"
        except ticker.TickerBusy as busy:
            if not busy.by_command:
                return "another ticker is at work"
            if time.monotonic() > end:
                enqueue_tick()
                return "a command is the ticker"
            time.sleep(ticker.ROUND_SECONDS)
    return "stopping"


def create_issues() -> str:
    """Create waiting Linear issues. May run in parallel: each row is claimed."""
    linear_issues.work()
    return "done"


def send_notices() -> str:
    """Send waiting notifications. May run in parallel: each row is claimed."""
    notifications.work()
    return "done"


def look_after_pull_requests() -> str:
    """Open, update and look at pull requests. May run in parallel: each row is claimed."""
    pull_requests.work()
    return "done"


def read_running_diffs() -> str:
    """Read the work of running attempts that somebody looks at, between two slices of the ticker: every few seconds."""
    return f"{running_diffs.read_running_diffs(settings.CE_HOST, timezone.now())} diffs changed"


def ensure_ticker() -> str:
    """Run by a schedule each minute: queue a slice, in case one was lost with its worker, and `look_around`."""
    enqueue_tick()
    async_task("batches.tasks.look_around", q_options={"save": False, "cluster": settings.CE_HOST, "task_name": f"look-{settings.CE_HOST}"})
    return "asked"


def look_around() -> str:
    """Work that each host does once a minute: finish interrupted merges, predict conflicts, measure checkouts, remove what is old."""
    now = timezone.now()
    if not settings.CE_WORKER:
        merges.finish_merges()
        retention.bound_rows(now)
    retention.tidy_projects(now)
    foreseen = predictions.predict_conflicts(settings.CE_HOST, now)
    kept_work.measure_checkouts(settings.CE_HOST, now)
    data = str(settings.CE_DATA_DIR)
    idle_places.prune(data, tight=disk_space.low_file_system(data) is not None)
    return f"{foreseen} conflicts predicted"
