"""The supervisor: what the wrapper does while its runner works. It alone writes the heartbeat, the result and the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

from subagents.cgroups import AttemptGroup
from subagents.contract import (
    JSON_BYTES,
    RESULT,
    SPEC_BYTES,
    Connection,
    ContractError,
    Failure,
    GateOutcome,
    Heartbeat,
    ResultStatus,
    TaskResult,
    TaskSpec,
    dump_json,
    load_json,
    read_json_file,
    replace,
    write_atomic,
)
from subagents.credentials import all_secrets, forbid_reading
from subagents.files import sha256_hex
from subagents.journal import Journal, timestamp
from subagents.machine_faults import fault_of
from subagents.processes import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, load_prctl
from subagents.procfs import descendants, is_alive, memory_of, name_of
from subagents.purse import cost_with_what_was_under_way, with_estimate
from subagents.redaction import know, redact_value
from subagents.runner import run_attempt
from subagents.unfinished_work import has_work, keep_and_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

TERM_SECONDS = 5.0  # how long cancelled processes may take to end by themselves
REAP_SECONDS = 10.0
KEEP_SECONDS = 20.0  # for the commit of unfinished work; what is not committed by then stays in the folder alone
MIN_HEARTBEAT_SECONDS = 0.25  # messages that follow each other faster than this share a heartbeat
MEMORY_SECONDS, HASTY_SECONDS = 0.5, 0.1  # between two looks at the memory in use; the second when over half of the limit is
MESSAGE_BYTES = 16 * 1024 * 1024
RESERVE_BYTES = 16 * 1024
BAD_SPEC = 5


def supervise(attempt_dir: str, lock: int, began: float) -> NoReturn:
    """Start the runner, watch it until it ends, write the end, then end this process."""
    try:
        _supervise(attempt_dir, lock, began)
    except BaseException:  # noqa: BLE001 -- the wrapper's outermost frame; its standard error is wrapper.err
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # nothing is left to flush or close, and a normal exit of Python takes 3 ms


def _supervise(attempt_dir: str, lock: int, began: float) -> None:
    try:
        spec = TaskSpec.from_json(read_json_file(os.path.join(attempt_dir, "spec.json"), SPEC_BYTES), "spec.json")
        journal = Journal(spec.files.log, spec.output_limit_bytes)
    except (ContractError, OSError) as error:
        sys.stderr.write(f"the attempt in {attempt_dir} cannot run: {error}\n")
        _publish_end(attempt_dir, BAD_SPEC, "", str(fault_of(error, (attempt_dir,)) or ""))
        return
    if secrets := all_secrets():  # read before the fork, so the runner has them too and both redact them from what they write
        for secret in secrets:
            know(secret)
        forbid_reading()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGTERM, _noted)  # the wake-up pipe tells the loop about it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prctl = load_prctl()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    read_end, write_end = os.pipe()
    own = os.getpid()
    journal.event("info", "started", f"attempt {spec.attempt} of {spec.task_id}", attempt=spec.attempt, pid=own)
    group = AttemptGroup.of(int(spec.policy.get("memory_bytes", 0)), int(spec.policy.get("processes", 0)))
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != own:
            os._exit(1)
        os.close(go_write)
        os.read(go_read, 1)  # starts nothing before it is in its group
        os.close(go_read)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for descriptor in (lock, read_end, wake_read, wake_write):
            os.close(descriptor)
        run_attempt(spec, write_end, journal)  # never returns
    if group is not None and not group.take(pid):
        group = None  # then memory is watched
    for descriptor in (write_end, go_read, go_write):
        os.close(descriptor)
    _reserve(attempt_dir)
    Supervisor(spec, journal, began, group).watch(pid, read_end, wake_read)


def _noted(number: int, frame: object) -> None:
    """Handle a signal by doing nothing: its byte in the wake-up pipe is enough."""


class Supervisor:
    """What the wrapper knows of its runner, and the two contract files that only the wrapper writes."""

    def __init__(self, spec: TaskSpec, journal: Journal, began: float, group: AttemptGroup | None) -> None:
        self.spec, self.journal, self.began, self.group = spec, journal, began, group
        self.heartbeat = Heartbeat(
            task_id=spec.task_id,
            status="in_progress",
            progress="Starting",
            tokens_used=None,
            elapsed_seconds=0.0,
            last_update="",
            last_progress=timestamp(),
            step=0,
            total_steps=len(spec.steps),
            cost_usd=None,
            activity="start",
            activity_since=timestamp(),
            attempt=spec.attempt,
            token=spec.token,
        )
        self.steps_completed, self.head_commit = 0, str(spec.payload.get("start", "")) or spec.base_commit
        self.links: tuple[str, ...] | None = None  # into the project's environment; None until the checkout is complete
        self.asked_at: float | None = None  # since when the agent waits for a person
        self.waited = 0.0  # how long it did before
        self.kept: dict[str, Any] = {}  # what came of keeping the unfinished work
        self.usage: dict[str, Any] = {}
        self.session = ""
        self.result: TaskResult | None = None
        self.failure: Failure | None = None  # why the supervisor ended the attempt
        self.buffer = b""
        self.written_at = float("-inf")
        self.memory_limit = int(spec.policy.get("memory_bytes", 0))
        self.memory_used = 0
        self.memory_looked_at = time.monotonic()
        self.lease_ends = float("inf")
        self.lease_ends = self._renewed_lease()

    def watch(self, runner: int, pipe: int, wake: int) -> None:
        """Read messages, write heartbeats and enforce limits until the runner ends; then end all processes and write the end."""
        process = os.pidfd_open(runner)
        poll = select.poll()
        for descriptor in (pipe, process, wake):
            poll.register(descriptor, select.POLLIN)
        self._write_heartbeat("in_progress")
        pending = False
        while self.result is None:
            next_heartbeat = self.written_at + (MIN_HEARTBEAT_SECONDS if pending else self.spec.heartbeat_seconds)
            due = min(next_heartbeat, self._limit(), self._next_memory_look(), self.lease_ends)
            ready = {descriptor for descriptor, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)}
            if pipe in ready:
                pending = True
                if not self._read_messages(pipe):
                    poll.unregister(pipe)
            if process in ready:
                while self._read_messages(pipe):
                    pass
                break
            if wake in ready and bytes([signal.SIGTERM]) in os.read(wake, 64):
                self.failure = Failure.CANCELLED
                self._cancel(runner)
                break
            now = time.monotonic()
            if now >= self._limit():
                self.failure = Failure.PHASE_TIME_LIMIT
                break
            if now >= self.lease_ends and now >= self._renewed_lease():
                self.failure = Failure.MACHINE_FAULT
                self._cancel(runner)
                break
            if now >= self._next_memory_look() and self._uses_too_much(runner):
                self.failure = Failure.MEMORY_LIMIT
                break
            if now >= self.written_at + (MIN_HEARTBEAT_SECONDS if pending else self.spec.heartbeat_seconds):
                self._write_heartbeat("in_progress")
                pending = False
        status = self._end_tree(runner)
        if self.group is not None:
            if self.failure is None and self.result is None and (used := self.group.killed()):
                self.failure, self.memory_used = Failure.MEMORY_LIMIT, used
            self.group.remove()
        if self.failure is not None and self.links is not None:
            self.kept = _keep_unfinished(self.spec, self.links, self.journal)
        self._finish(status)

    def _limit(self) -> float:
        """When the time limit is reached; while the agent waits for a person it comes no nearer."""
        return float("inf") if self.asked_at is not None else self.began + self.spec.timeout_seconds + self.waited

    def _renewed_lease(self) -> float:
        """When the attempt ends because its host has lost the database (monotonic seconds); what cannot be read is as it was."""
        if self.spec.lease:
            with contextlib.suppress(OSError, ValueError), open(self.spec.lease, encoding="ascii") as file:
                self.lease_ends = float(file.read())
        return self.lease_ends

    def _elapsed(self) -> float:
        """Seconds since the start, without those in which the agent waited for a person."""
        now = time.monotonic()
        return now - self.began - self.waited - (now - self.asked_at if self.asked_at is not None else 0.0)

    def _next_memory_look(self) -> float:
        if not self.memory_limit:
            return float("inf")
        return self.memory_looked_at + (HASTY_SECONDS if self.memory_used > self.memory_limit / 2 else MEMORY_SECONDS)

    def _uses_too_much(self, runner: int) -> bool:
        """Whether the commands and the agent's program use more memory than they may; the runner, which is ours, does not count."""
        self.memory_used = memory_of([pid for pid in descendants(os.getpid()) if pid != runner], self.memory_limit)
        self.memory_looked_at = time.monotonic()
        return self.memory_used > self.memory_limit

    def _read_messages(self, pipe: int) -> bool:
        """Read the messages that the runner has sent; False when there are none, or none any more."""
        if not select.select([pipe], [], [], 0)[0]:
            return False
        data = os.read(pipe, 1 << 20)
        lines = (self.buffer + data).split(b"\n")
        self.buffer = lines.pop()
        if len(self.buffer) > MESSAGE_BYTES:
            self.buffer = b""  # none of our messages is as large; without its result the runner counts as crashed
        for line in lines:
            self._ingest(line)
        return bool(data)

    def _ingest(self, line: bytes) -> None:
        try:
            message = redact_value(load_json(line, "runner"))
            if "result" in message:
                self.result = TaskResult.from_json(message["result"], "runner")
            last = self.heartbeat
            self.heartbeat = replace(
                last,
                progress=str(message.get("progress", last.progress)),
                activity=str(message.get("activity", last.activity)),
                step=int(message.get("step", last.step)),
                tokens_used=message.get("tokens_used", last.tokens_used),
                cost_usd=message.get("cost_usd", last.cost_usd),
                last_progress=timestamp(),
                activity_since=timestamp() if "activity" in message else last.activity_since,
            )
            self.steps_completed = int(message.get("steps_completed", self.steps_completed))
            self.head_commit = str(message.get("head_commit", self.head_commit))
            self.usage = message.get("usage", self.usage)
            self.session = str(message.get("session", self.session))
            if "question" in message:
                self._asks(dict(message["question"]))
            self.links = tuple(map(str, message["checked_out"])) if "checked_out" in message else self.links
        except (ContractError, AttributeError, TypeError, ValueError) as error:
            self.journal.event("error", "bad_message", f"a message of the runner cannot be read: {error}")

    def _asks(self, question: dict[str, Any]) -> None:
        self.heartbeat = replace(self.heartbeat, question=question)
        now = time.monotonic()
        if self.asked_at is not None:
            self.waited += now - self.asked_at
        self.asked_at = now if question else None

    def _write_heartbeat(self, status: str) -> None:
        self.written_at = time.monotonic()
        elapsed = round(self._elapsed(), 3)
        self.heartbeat = replace(self.heartbeat, status=status, elapsed_seconds=elapsed, last_update=timestamp())
        try:
            write_atomic(self.spec.files.heartbeat, dump_json(self.heartbeat.to_json()), durable=False)
        except OSError as error:  # a full disk: the ticker sees silence; the next heartbeat may succeed
            sys.stderr.write(f"heartbeat not written: {error}\n")

    # The end

    def _cancel(self, runner: int) -> None:
        """Ask all processes to end and give them some seconds. The runner is stopped meanwhile, so that it starts nothing new."""
        os.kill(runner, signal.SIGSTOP)
        # bwrap's own two processes would end the rest at once, so only what runs inside it is asked.
        asked = [pid for pid in descendants(os.getpid()) if pid != runner and name_of(pid) != b"bwrap"]
        _signal_each(asked, signal.SIGTERM)
        deadline = time.monotonic() + TERM_SECONDS
        while time.monotonic() < deadline and any(pid != runner and is_alive(pid) for pid in descendants(os.getpid())):
            select.select([], [], [], 0.02)

    def _end_tree(self, runner: int) -> int:
        """Kill and reap every process that is left, with orphans, which are our children now; returns the runner's exit code."""
        status, deadline = 0, time.monotonic() + REAP_SECONDS
        while time.monotonic() < deadline:
            try:
                pid, raw = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return status
            if pid == runner:
                status = os.waitstatus_to_exitcode(raw)
            elif pid == 0:
                _signal_each(descendants(os.getpid()), signal.SIGKILL)
                select.select([], [], [], 0.002)
        self.journal.event("error", "left_over", f"processes of the attempt did not end within {REAP_SECONDS:g} s")
        return status

    def _finish(self, status: int) -> None:
        result = self._outcome(status)
        result = replace(result, elapsed_seconds=self._elapsed(), sandbox=self.spec.sandbox or "rlimit")
        result = replace(result, connections=self._connections())
        data = fit_result(result)
        seconds = round(result.elapsed_seconds, 3)
        self.journal.event("info", "ended", f"{result.status} {result.failure_reason}".strip(), elapsed_seconds=seconds)
        self._write_heartbeat(str(result.status))
        digest, fault = self._write_result(data)
        # Once the result is here the runner is not waited for, so its exit code means nothing.
        _publish_end(self.spec.attempt_dir, 0 if self.result is not None else status, digest, fault)
        if descendants(os.getpid()):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGKILL)  # the last act: kill what could not be reaped, and ourselves

    def _connections(self) -> tuple[Connection, ...]:
        """What the network proxy has counted: however the attempt ended, its file is there."""
        if not self.spec.policy.get("hosts"):
            return ()
        from subagents.network_access import connections_of

        try:
            return connections_of(self.spec.attempt_dir)
        except (ContractError, OSError) as error:
            self.journal.event("warning", "network", f"what the network proxy counted cannot be read: {error}")
            return ()

    def _write_result(self, data: bytes) -> tuple[str, str]:
        """(the digest of the result that was written, "" for none; the fault of the machine that prevented it, in words)."""
        said = ""
        # Where the repository's disk is full, ours may not be: what was done and paid for counts all the same.
        for path in (self.spec.files.result, os.path.join(self.spec.attempt_dir, RESULT)):
            try:
                write_atomic(path, data)
                return sha256_hex(data), ""
            except OSError as error:
                sys.stderr.write(f"result not written: {error}\n")
                if (fault := fault_of(error, (path,))) is None:
                    break
                said = said or str(fault)
        return "", said

    def _outcome(self, status: int) -> TaskResult:
        if self.failure is None and self.result is not None:
            return self._with_use(self.result) if self.result.failure_reason == Failure.MACHINE_FAULT else self.result
        ended = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        progress, limit = self.heartbeat.progress, self.spec.timeout_seconds
        if self.failure == Failure.CANCELLED:
            return self._failed(Failure.CANCELLED, "cancelled", status)
        if self.failure == Failure.MACHINE_FAULT:
            return self._failed(Failure.MACHINE_FAULT, "ended by itself: this worker host has lost the database", status)
        if self.failure == Failure.PHASE_TIME_LIMIT:
            return self._failed(Failure.PHASE_TIME_LIMIT, f"not done within {limit:g} s: {progress}", status)
        if self.failure == Failure.MEMORY_LIMIT:
            used, most = self.memory_used / 2**30, self.memory_limit / 2**30
            return self._failed(Failure.MEMORY_LIMIT, f"killed: {used:.1f} of {most:g} GB of memory in use, at: {progress}", status)
        return self._failed(Failure.CRASHED, f"the runner {ended} without a result, at: {progress}", status)

    def _with_use(self, result: TaskResult) -> TaskResult:
        """The result with the figures that were reported before the machine failed: they were spent."""
        last = self.heartbeat
        return replace(
            result,
            usage=result.usage or self.usage,
            tokens_used=last.tokens_used if result.tokens_used is None else result.tokens_used,
            cost_usd=last.cost_usd if result.cost_usd is None else result.cost_usd,
            session=result.session or self.session,
        )

    def _failed(self, failure: Failure, error: str, status: int) -> TaskResult:
        self.journal.event("error", str(failure), error)
        spec = self.spec
        cost, estimated = cost_with_what_was_under_way(spec, self.heartbeat.cost_usd, self.heartbeat.tokens_used)
        return TaskResult(
            task_id=spec.task_id,
            prp_id=spec.prp_id,
            status=ResultStatus.FAILED,
            attempt=spec.attempt,
            token=spec.token,
            failure_reason=failure,
            errors=(error, estimated) if estimated else (error,),
            steps_completed=self.steps_completed,
            total_steps=len(spec.steps),
            base_commit=spec.base_commit,
            files_created=tuple(self.kept.get("files_created", ())),
            files_modified=tuple(self.kept.get("files_modified", ())),
            files_deleted=tuple(self.kept.get("files_deleted", ())),
            head_commit=str(self.kept.get("head_commit") or self.head_commit),
            usage=self.usage if cost is None else with_estimate(spec, self.usage),
            tokens_used=self.heartbeat.tokens_used,
            cost_usd=cost,
            session=self.session,
            exit_code=status,
        )


def _keep_unfinished(spec: TaskSpec, links: Sequence[str], journal: Journal) -> dict[str, Any]:
    """Have the unfinished work committed (unfinished_work.py); returns what came of it, {} if it could not be."""
    if not has_work(spec):
        return {}
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        load_prctl()(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        os.close(read_end)
        keep_and_exit(spec, links, journal, write_end)
    os.close(write_end)
    data, deadline = b"", time.monotonic() + KEEP_SECONDS
    while select.select([read_end], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(read_end, 1 << 16)
        data += part
        if not part:
            break
    os.close(read_end)
    os.kill(pid, signal.SIGKILL)  # it has ended, or takes too long
    os.waitpid(pid, 0)
    try:
        return dict(load_json(data, "kept work"))
    except (ContractError, TypeError, ValueError):
        journal.event("warning", "not_kept", f"the unfinished work is in its folder alone: {spec.checkout}")
        return {}


def _reserve(attempt_dir: str) -> None:
    """Reserve disk space for exit.json: an attempt that fills the disk can still write how it ended."""
    with contextlib.suppress(OSError), open(os.path.join(attempt_dir, "reserve"), "wb") as file:
        file.write(b"\0" * RESERVE_BYTES)


def _publish_end(attempt_dir: str, status: int, digest: str, fault: str = "") -> None:
    """Write exit.json. `fault`: the fault of the machine that kept the attempt from writing its result. Raises OSError."""
    data = dump_json({"exit_code": status, "ended_at": time.time(), "result_sha256": digest, "machine_fault": fault})
    reserve = os.path.join(attempt_dir, "reserve")
    try:
        write_atomic(os.path.join(attempt_dir, "exit.json"), data)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(reserve)
        write_atomic(os.path.join(attempt_dir, "exit.json"), data)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(reserve)


def fit_result(result: TaskResult) -> bytes:
    """The result's JSON, cut to the size that readers accept: first its outputs, then its lists. Each cut is marked."""
    data = dump_json(result.to_json())
    for size in (4_000, 1_000, 200):
        if len(data) <= JSON_BYTES:
            return data
        gates = tuple(_with_shorter_output(gate, size) for gate in result.gates)
        result = replace(result, gates=gates, errors=tuple(text[:size] for text in result.errors))
        data = dump_json(result.to_json())
    for count in (1000, 200, 50):
        if len(data) <= JSON_BYTES:
            return data
        lists = ("files_created", "files_modified", "files_deleted", "commits", "errors")
        result = replace(result, gates=result.gates[:count], **{name: _shortened(getattr(result, name), count) for name in lists})
        data = dump_json(result.to_json())
    return data


def _shortened(items: tuple[str, ...], count: int) -> tuple[str, ...]:
    return items if len(items) <= count else (*items[:count], f"… and {len(items) - count} more")


def _with_shorter_output(gate: GateOutcome, size: int) -> GateOutcome:
    return replace(gate, output=_head_and_tail(gate.output, size), first_output=_head_and_tail(gate.first_output, size))


def _head_and_tail(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size // 4] + "\n… left out …\n" + text[-3 * size // 4 :]


def _signal_each(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
