"""A crash-only django-q2 cluster: whole, or gone and started again.

django-q2 goes on after the death of a child and is then often broken in silence: a killed monitor saves nothing
ever again, a killed worker may have owned the queue's lock, a killed sentinel leaves workers that serve beside the
next cluster. Here any unexpected death or time-out ends every process of the cluster and the command exits with
EXIT_CRASHED, so that `manage.py up` (or systemd) starts a fresh one. Stopping is a byte in shared memory: no lock
that a killed process could have taken with it, and nothing of multiprocessing is touched in a signal handler.
"""

import ctypes
import logging
import mmap
import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, cast

from django.conf import settings
from django.db import connections
from django_q import cluster as q2
from django_q.scheduler import scheduler

logger = logging.getLogger(__name__)

EXIT_CRASHED = 75  # EX_TEMPFAIL of sysexits.h: start me again
STOP_SECONDS = 15.0  # a task that runs when the cluster is asked to stop has this long to end
SCHEDULE_SECONDS = 30.0  # how often django-q2's schedules are looked at, as in its own guard
WATCH_SECONDS = 0.1  # how soon a request to stop is seen; a child's death is seen at once
TIMER_SECONDS = 5.0  # a worker's timer lock that stays taken for this long was taken to the grave

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

# One byte shared by the cluster and all its children (fork): 1 from the moment that a stop was asked for.
_stopping = mmap.mmap(-1, 1)


def stop_requested() -> bool:
    """Whether the cluster that this process belongs to has been asked to stop; False outside a cluster."""
    return _stopping[0] == 1


def die_with_parent(signal_number: int, parent_pid: int) -> None:
    """Have the kernel send `signal_number` to this process when its parent dies; at once if it is dead already.

    Bound to the *thread* that started this process: call it only in children of a main thread.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:
        os._exit(1)


def cluster_pid_file() -> Path:
    """Where the running cluster of this host writes its process id, for `manage.py doctor`."""
    return Path(settings.CE_DATA_DIR) / "cluster.pid"


class CrashOnlySentinel(q2.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    """Guards the workers, the pusher and the monitor; ends all of them when one ends unexpectedly."""

    def start(self) -> None:
        _tie_to_parent()
        super().start()

    def spawn_process(self, target: Callable[..., None], *args: object) -> BaseProcess:
        """Start a child that dies with this sentinel and leaves the answer to signals to the cluster's parent."""
        process = q2.get_mp_context().Process(target=_run_child, args=(target, *args), name=f"Process-{uuid.uuid4().hex}")
        process.daemon = True
        if target is q2.worker:
            process.timer = args[2]
            self.pool.append(process)
        process.start()
        return cast(BaseProcess, process)

    def guard(self) -> None:
        """Watch the children until a stop is asked for, then let the running tasks end."""
        self.start_event.set()
        last_look = last_schedule = time.monotonic()
        while not stop_requested():
            connection.wait([child.sentinel for child in self._children()], timeout=WATCH_SECONDS)
            now = time.monotonic()
            self._check_children(now - last_look)
            last_look = now
            if now - last_schedule >= SCHEDULE_SECONDS:
                last_schedule = now
                scheduler(broker=self.broker)
        self.stop_event.set()  # only this process uses it, so nobody can have died with its lock
        self.stop()

    def reincarnate(self, process: Any) -> None:
        """Replace a worker that has done its share of tasks; anything else that ended ends the cluster."""
        if process in self.pool and int(process.timer.value) == -2:
            super().reincarnate(process)
        else:
            self._crash(process, "died or ran into its time-out")

    def _children(self) -> list[BaseProcess]:
        return [*self.pool, self.monitor, self.pusher]

    def _check_children(self, elapsed_seconds: float) -> None:
        for child in self._children():
            if not child.is_alive():
                self.reincarnate(child)
        for worker in tuple(self.pool):
            lock = worker.timer.get_lock()
            if not lock.acquire(timeout=TIMER_SECONDS):
                self._crash(worker, "holds the lock of its timer for ever")
            try:
                if worker.timer.value > 0:  # busy: seconds left of its time limit
                    worker.timer.value = max(0.0, worker.timer.value - elapsed_seconds)
                timed_out = worker.timer.value == 0
            finally:
                lock.release()
            if timed_out:
                self.reincarnate(worker)

    def _crash(self, process: BaseProcess, what: str) -> None:
        logger.critical("cluster=%s %s %s: ending the whole cluster", os.getppid(), process.name, what)
        for child in self._children():
            child.kill()
        os._exit(EXIT_CRASHED)


def run_cluster() -> int:
    """Run the cluster of this host until SIGTERM or SIGINT; returns the exit status, EXIT_CRASHED after an unexpected end.

    The signals may reach this process alone or its whole group: below it nobody answers them.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ask_to_stop)
    os.environ["CE_CLUSTER_PID"] = str(os.getpid())
    cluster_pid_file().write_text(f"{os.getpid()}\n")
    connections.close_all()  # a forked child must not share a connection
    context = q2.get_mp_context()
    sentinel = context.Process(target=CrashOnlySentinel, args=(context.Event(), context.Event(), uuid.uuid4()), name="sentinel")
    sentinel.start()
    while sentinel.is_alive() and not stop_requested():
        sentinel.join(WATCH_SECONDS)
    if not stop_requested():
        sentinel.join()
        logger.error("cluster=%s the sentinel ended with status %s", os.getpid(), sentinel.exitcode)
        return EXIT_CRASHED
    sentinel.join(STOP_SECONDS)
    if sentinel.is_alive():
        logger.error("cluster=%s did not stop within %.0f s: killed", os.getpid(), STOP_SECONDS)
        sentinel.kill()
        sentinel.join()
    cluster_pid_file().unlink(missing_ok=True)
    return 0


def _ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
    _stopping[0] = 1


def _answer_nothing(_signal: int, _frame: FrameType | None) -> None:
    """Ignore a signal in this process only: unlike SIG_IGN a handler is not inherited by what it executes."""


def _tie_to_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None  # only ever called in a child
    die_with_parent(signal.SIGKILL, parent.pid)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _answer_nothing)


def _run_child(target: Callable[..., None], *args: object) -> None:
    _tie_to_parent()
    target(*args)

