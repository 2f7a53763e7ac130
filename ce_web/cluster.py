"""A crash-only django-q2 cluster: if one process dies, all end and are started again.

django-q2 continues after the death of a child process and is then often silently broken: a killed monitor never saves
results again, a killed worker may have held the queue's lock, a killed sentinel leaves workers that run beside the next
cluster. Here any unexpected death or time-out ends all processes of the cluster, and the command exits with EXIT_CRASHED, so
that `manage.py up` (or systemd) starts a new one. A byte in shared memory requests the stop: a killed process cannot block
it as it could a lock, and signal handlers do not touch multiprocessing.
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

EXIT_CRASHED = 75  # EX_TEMPFAIL of sysexits.h: start it again
EXIT_REFUSED = 78  # EX_CONFIG: it would end the same way; a person has to do something first
STOP_SECONDS = 15.0  # time for running tasks to end when the cluster stops
SCHEDULE_SECONDS = 30.0  # how often schedules are checked, as in django-q2
WATCH_SECONDS = 0.1  # how soon a stop request is noticed; a child's death is noticed at once
TIMER_SECONDS = 5.0  # if a worker's timer lock is held this long, its holder has died

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

# One byte shared with all forked children: 1 after a stop was requested.
_stopping = mmap.mmap(-1, 1)


def stop_requested() -> bool:
    """Whether the cluster of this process has been asked to stop; False outside a cluster."""
    return _stopping[0] == 1


def request_stop() -> None:
    """Ask the cluster of this process to stop, as SIGTERM to its parent does."""
    _stopping[0] = 1


def die_with_parent(signal_number: int, parent_pid: int) -> None:
    """Make the kernel send `signal_number` to this process when its parent dies. Exit if the parent is already dead.

    It follows the *thread* that started this process: call it only in children of a main thread.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:
        os._exit(1)


def cluster_pid_file() -> Path:
    """The file with the process id of this host's cluster, for `manage.py doctor`."""
    return Path(settings.CE_DATA_DIR) / "cluster.pid"


class CrashOnlySentinel(q2.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    """Supervises workers, pusher and monitor, and ends all of them if one ends unexpectedly."""

    def start(self) -> None:
        _tie_to_parent()
        super().start()

    def spawn_process(self, target: Callable[..., None], *args: object) -> BaseProcess:
        """Start a child that dies with this sentinel and ignores signals, which the main process handles."""
        process = q2.get_mp_context().Process(target=_run_child, args=(target, *args), name=f"Process-{uuid.uuid4().hex}")
        process.daemon = True
        if target is q2.worker:
            process.timer = args[2]
            self.pool.append(process)
        process.start()
        return cast(BaseProcess, process)

    def guard(self) -> None:
        """Watch the children until a stop is requested, then let running tasks end."""
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
        self.stop_event.set()  # only this process uses it, so its lock is free
        self.stop()

    def reincarnate(self, process: Any) -> None:
        """Replace a worker that reached its task limit (`recycle`). Any other end of a child ends the cluster."""
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
                self._crash(worker, "never releases the lock of its timer")
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

    The signals may reach only this process or its whole group: child processes ignore them.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ask_to_stop)
    os.environ["CE_CLUSTER_PID"] = str(os.getpid())
    cluster_pid_file().write_text(f"{os.getpid()}\n")
    connections.close_all()  # forked children must not share a connection
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
    request_stop()


def _answer_nothing(_signal: int, _frame: FrameType | None) -> None:
    """Ignore a signal. Unlike SIG_IGN, a handler is not inherited by executed programs."""


def _tie_to_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None  # only ever called in a child
    die_with_parent(signal.SIGKILL, parent.pid)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _answer_nothing)


def _run_child(target: Callable[..., None], *args: object) -> None:
    _tie_to_parent()
    target(*args)

