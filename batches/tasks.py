"""What django-q2 runs: short, repeatable entry points, and the only caller of async_task.

Tasks are delivered at least once and may be killed at any line; they return only text.
"""

import time

from django.conf import settings
from django.utils import timezone
from django_q.tasks import async_task

from batches.engine import predictions, ticker
from batches.integrations import linear_issues, notifications
from batches.repositories import kept_work, merges
from ce_web.cluster import stop_requested


def enqueue_tick() -> None:
    """Have this host's cluster run one slice of the ticker, after commit of the transaction that asks for it."""
    async_task("batches.tasks.tick_slice", q_options={"save": False, "cluster": settings.CE_HOST, "task_name": f"tick-{settings.CE_HOST}"})


def tick_slice() -> str:
    """Be the ticker for some seconds; then let a successor follow, before the lock is free. A surplus slice leaves.

    A command that waits may have taken the lock between two slices: then the slice waits for its turn and passes it
    on, so that the chain is there when the command goes.
    """
    end = time.monotonic() + settings.CE_SLICE_SECONDS
    while not stop_requested():
        try:
            with ticker.ticker_lock():
                try:
                    ticker.Ticker(settings.CE_HOST).run(settings.CE_SLICE_SECONDS, should_stop=stop_requested)
                finally:
                    if not stop_requested():
                        if linear_issues.has_work(timezone.now()):
                            async_task("batches.tasks.create_issues", q_options={"save": False, "cluster": settings.CE_HOST})
                        if notifications.has_work(timezone.now()):
                            async_task("batches.tasks.send_notices", q_options={"save": False, "cluster": settings.CE_HOST})
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
    """Create the issues that wait; several at once get in nobody's way, each row is claimed."""
    linear_issues.work()
    return "done"


def send_notices() -> str:
    """Send the messages that wait; several at once get in nobody's way, each row is claimed."""
    notifications.work()
    return "done"


def ensure_ticker() -> str:
    """The safety net, run by a schedule each minute: a slice that was lost with its worker is replaced. Also asks for the minute's look."""
    enqueue_tick()
    async_task("batches.tasks.look_around", q_options={"save": False, "cluster": settings.CE_HOST, "task_name": f"look-{settings.CE_HOST}"})
    return "asked"


def look_around() -> str:
    """What a host does each minute beside its ticker: put right a merge cut short, foresee conflicts of live runs, measure kept folders."""
    merges.finish_merges()
    now = timezone.now()
    foreseen = predictions.predict_conflicts(settings.CE_HOST, now)
    kept_work.measure_checkouts(settings.CE_HOST, now)
    return f"{foreseen} conflicts foreseen"
