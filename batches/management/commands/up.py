"""`manage.py up`: run web server and cluster in the foreground, and restart them when they end or hang."""

import contextlib
import errno
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from batches.engine.data_directory import WrongIdentity, check_identity
from ce_web import running
from ce_web.cluster import EXIT_REFUSED, die_with_parent
from subagents.procfs import busy_ticks, descendants

TICKER_SILENT_SECONDS = 10.0  # the ticker touches its mark file four times a second; without a tick it must at least work
LONGEST_START_SECONDS = 120.0  # a cluster that works, but has not ticked for so long since it started, hangs
SLOWEST_START = 5  # doublings of it after starts that worked and were killed: a starved machine starts in an hour, or never
LONGEST_ROUND_SECONDS = 600.0  # the same for a round of the ticker, in which git may have a huge merge to do
GAP_SECONDS = 1.0  # when `up` itself stood still, this much of it counts as silence
REAP_SECONDS = 10.0  # a killed process that is still there after this time is told
STOP_SECONDS = 20.0  # longer than the cluster gives its running tasks
FIRST_BACK_OFF_SECONDS = 0.3
LONGEST_BACK_OFF_SECONDS = 5.0
STEADY_SECONDS = 2.0  # after running this long, or after a tick, the next restart does not wait longer
ROUND_SECONDS = 0.1
WEB_WORKERS = 2
WEB_THREADS = 8


class Command(BaseCommand):
    help = "Run the web server and the task cluster of this host. Ctrl-C stops both in about a second; agents continue."

    requires_system_checks = ()  # they come after the look at the data directory: one of them makes a folder there

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
        parser.add_argument("--no-web", action="store_true", help="run the cluster only")
        parser.add_argument("--no-cluster", action="store_true", help="run the web server only")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if options["no_web"] and options["no_cluster"]:
            raise CommandError("--no-web and --no-cluster together leave nothing to run.")
        if settings.CE_WORKER and not options["no_web"]:
            raise CommandError("A worker host (CE_WORKER) has no pages; the main host shows its work. Start it with: manage.py up --no-web")
        if problem := running.unwritable(Path(settings.CE_DATA_DIR)):
            raise CommandError(problem, returncode=EXIT_REFUSED)
        self.check()
        try:
            check_identity(engine=not options["no_cluster"])
        except WrongIdentity as wrong:
            raise CommandError(str(wrong), returncode=EXIT_REFUSED) from wrong
        connections.close_all()  # it asks nothing more
        programs = []
        with contextlib.ExitStack() as held:
            if not options["no_cluster"]:
                hold_up(held)
                programs.append(Program("cluster", cluster_command(), mark=ticker_mark()))
            if not options["no_web"]:
                refuse_unsafe(host)
                refuse_port_in_use(host, port)
                if is_loopback(host):
                    os.environ.setdefault("CE_SITE_URL", address(host, port))  # links in mails lead here
                running.note_server(host, port)
                held.callback(running.forget_server)
                programs.append(Program("web", web_command(host, port)))
            self.run_all(programs, "" if options["no_web"] else address(host, port), host, port)

    def run_all(self, programs: "list[Program]", url: str, host: str, port: int) -> None:
        """Look after the programs until a signal ends it. Prints `url` once the port is taken; "" for none."""
        stop: list[int] = []

        def ask_to_stop(number: int, _frame: FrameType | None) -> None:
            stop.append(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask_to_stop)
        announced = not url
        while not stop:
            for program in programs:
                program.look_after(self.say)
                if program.refused:
                    stop.append(0)
            if not announced and (announced := bind_error(host, port) is not None):
                self.say(f"CE Web: {url}   (Ctrl-C stops it; running agents continue)")
            time.sleep(ROUND_SECONDS)
        began = time.monotonic()
        for program in programs:
            program.ask_to_stop()
        for program in programs:
            program.wait_for_end(began + STOP_SECONDS, self.say)
        self.say(f"stopped in {time.monotonic() - began:.1f} s")
        if any(program.refused for program in programs):
            sys.exit(EXIT_REFUSED)

    def say(self, message: str) -> None:
        self.stdout.write(f"{time.strftime('%H:%M:%S')} {message}")
        self.stdout.flush()


@dataclass(slots=True)
class Program:
    """A child process in its own session. Restarted with back-off; killed once, and waited for, if it makes no progress.

    Progress is a change of its mark file, or processor time or disk access of whoever is to change it next: on a slow machine a
    start takes long, and a merge of a huge repository too. Durations use the monotonic clock, so that a jump of the wall
    clock does not look like silence, and time in which this process itself stood still hardly counts.
    """

    name: str
    command: tuple[str, ...]
    mark: Path | None = None
    silent_seconds: float = TICKER_SILENT_SECONDS
    start_seconds: float = LONGEST_START_SECONDS
    slow_starts: int = 0  # in a row that worked and were killed; each doubles what the next may take
    process: subprocess.Popen[bytes] | None = None
    born: float = 0.0
    not_before: float = 0.0
    back_off_seconds: float = field(default=FIRST_BACK_OFF_SECONDS)
    killed: float | None = None  # when it was killed; it is waited for then, and not killed again
    refused: bool = False  # it would end the same way again
    told: bool = False  # that it is still there although it was killed
    marked: int | None = None  # the mark's time when it was last seen
    ticked: bool = False  # since it was started
    idle: float = 0.0  # seconds without progress
    unmarked: float = 0.0  # seconds without a change of the mark
    looked: float = 0.0
    worked: int = -1  # clock ticks of processor time when they were last seen

    def look_after(self, say: Callable[[str], None]) -> None:
        """Start it, restart it after it ended, kill it if it makes no progress. Does not wait."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.not_before:
                self.process = _start(self.command)
                self.born = self.looked = now
                self.idle = self.unmarked = 0.0
                self.ticked, self.told, self.killed, self.worked = False, False, None, -1
                self._mark_changed()
        elif (status := self.process.poll()) is not None:
            self._kill_group()  # also ends what is left of its session
            self.process = None
            if status == EXIT_REFUSED:
                say(f"{self.name} does not start; above it says why")
                self.refused = True
                return
            steady = now - self.born > STEADY_SECONDS or self.ticked
            self.back_off_seconds = FIRST_BACK_OFF_SECONDS if steady else min(LONGEST_BACK_OFF_SECONDS, self.back_off_seconds * 2)
            self.not_before = now + self.back_off_seconds
            say(f"{self.name} {_ending(status)}; starting it again in {self.back_off_seconds:.1f} s")
        elif self.killed is not None:
            if not self.told and now - self.killed > REAP_SECONDS:
                say(f"{self.name} was killed and is still there, as when a disk does not answer; waiting for its end")
                self.told = True
        elif self.mark is not None and (what := self._hangs(now)):
            say(f"{self.name}: its ticker {what}; killing it")
            self.slow_starts += not self.ticked and self.idle <= self.silent_seconds
            self.killed = now
            self._kill_group()

    def _hangs(self, now: float) -> str:
        """What it has not done for too long, in words; "" while it makes progress."""
        passed, self.looked = min(now - self.looked, GAP_SECONDS), now
        self.idle += passed
        self.unmarked += passed
        if self._mark_changed():
            self.ticked, self.idle, self.unmarked, self.slow_starts = True, 0.0, 0.0, 0
        elif self.idle > GAP_SECONDS and self._works():
            self.idle = 0.0
        if self.idle > self.silent_seconds:
            return f"is silent for {self.unmarked:.0f} s" if self.ticked else f"was never heard of in {self.unmarked:.0f} s"
        start_seconds = self.start_seconds * 2 ** min(self.slow_starts, SLOWEST_START)
        if self.unmarked > (LONGEST_ROUND_SECONDS if self.ticked else start_seconds):
            return f"works, but has not ended {'a round' if self.ticked else 'its start'} for {self.unmarked:.0f} s"
        return ""

    def _works(self) -> bool:
        """Whether the ticker's process, or before there is one any of the program's, used a processor or waits for a disk.

        Attempts have sessions of their own: what they do is no progress of the ticker.
        """
        assert self.process is not None and self.mark is not None
        ticker, whole = ticker_pid(self.mark.with_name("ticker.lock")), descendants(self.process.pid)
        who = ticker if ticker in whole else self.process.pid
        worked, waits = busy_ticks([who, *descendants(who)], self.process.pid)
        before, self.worked = self.worked, worked
        return waits or worked != before

    def ask_to_stop(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def wait_for_end(self, deadline: float, say: Callable[[str], None]) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not stop within {STOP_SECONDS:.0f} s; killing it")
        self._kill_group()
        self.process.wait()

    def _mark_changed(self) -> bool:
        """Whether the mark file has changed since the last check."""
        if self.mark is None:
            return False
        try:
            marked = self.mark.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        before, self.marked = self.marked, marked
        return before != marked

    def _kill_group(self) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # all its processes have ended


def _start(command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    me = os.getpid()
    return subprocess.Popen(  # noqa: S603 -- our own manage.py, as a list
        command,
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(signal.SIGTERM, me),
    )


def _ending(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def ticker_mark() -> Path:
    """The mark file that the ticker of this host touches in every round."""
    return Path(settings.CE_DATA_DIR) / "ticker.alive"


def ticker_pid(lock: Path) -> int:
    """The process id that the ticker wrote into its lock file; 0 when there is none."""
    try:
        return int(lock.read_bytes()[1:].split(b"\n")[0])
    except (OSError, ValueError):
        return 0


def hold_up(held: contextlib.ExitStack) -> None:
    """Be the only `manage.py up` with a cluster on this data directory. Raises CommandError with the way out."""
    try:
        held.enter_context(running.hold("up"))
    except running.Busy as busy:
        raise CommandError(runs_already(busy.holder)) from busy


def runs_already(holder: str) -> str:
    """The sentence for who starts an installation that runs: where it is, and what to do."""
    server = running.running_server()
    where = f" at {address(server.host, server.port)}" if server is not None else ""
    pid = holder.removeprefix("process ").partition(",")[0]
    return (
        f"CE Web already runs on this data directory{where} ({holder}; {settings.CE_DATA_DIR}).\n"
        f"Use that one, stop it first (kill {pid}), or start a second installation with a CE_DATA_DIR and a port of its own."
    )


def cluster_command() -> tuple[str, ...]:
    return (sys.executable, "-m", "ce_web.manage", "cluster")


def web_command(host: str, port: int) -> tuple[str, ...]:
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return (
        *(sys.executable, "-m", "gunicorn", "--bind", bind, "--worker-class", "ce_web.web_worker.WholeRequests"),
        *("--workers", str(WEB_WORKERS), "--threads", str(WEB_THREADS), "--graceful-timeout", "1"),
        *("--log-level", "warning", "--no-control-socket", "ce_web.wsgi"),
    )


def address(host: str, port: int) -> str:
    """The URL for a browser on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 -- the addresses are read, to show one that a browser can open
    return f"http://{name}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. Raises CommandError if it is not a local address."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except socket.gaierror as error:
        raise CommandError(f"--host {host}: {error.strerror}. Give an address of this machine, such as 127.0.0.1.") from error
    return all(ipaddress.ip_address(text.partition("%")[0]).is_loopback for text in found)


def refuse_unsafe(host: str) -> None:
    """Raises CommandError if settings for a developer's machine would be reachable from the network."""
    if is_loopback(host):
        return
    key = settings.SECRET_KEY
    if settings.DEBUG:
        raise CommandError(f"DEBUG=1 exposes the server's internals to everyone who can reach {host}: unset DEBUG, or listen on 127.0.0.1.")
    if len(key) < 50 or len(set(key)) < 10 or key.startswith("django-insecure-"):
        raise CommandError(
            f"The secret key is too weak for {host}: it needs 50 characters, 10 of them different. "
            "Unset SECRET_KEY (a new one is created in the data directory), or listen on 127.0.0.1."
        )


def bind_error(host: str, port: int) -> OSError | OverflowError | None:
    """The error that prevents listening on `port`, EADDRINUSE if it is in use; None if it is free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            return error
    return None


def refuse_port_in_use(host: str, port: int) -> None:
    """Raises CommandError with a suggestion if `port` cannot be listened on."""
    error = bind_error(host, port)
    if error is not None:
        server = running.running_server()
        if server is not None and server.port == port:
            raise CommandError(runs_already(f"process {server.pid}")) from error
        reason = "is in use" if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise CommandError(f"Port {port} on {host} {reason}. Choose another one: make run PORT={min(port + 1, 65535)}") from error
