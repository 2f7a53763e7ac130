"""What an attempt is told and what it says back: specs, heartbeats, results, their JSON and their file names.

The shapes are framework.md §3 and are read by people's own shell lines too. Everything read back is untrusted: a
file that is not what it must be raises ContractError with the file, the field and the reason.
"""

from __future__ import annotations

import os
from enum import StrEnum

from subagents.files import (
    JSON_BYTES,
    SPEC_BYTES,
    ContractError,
    SubagentError,
    clean_text,
    dump_json,
    load_json,
    publish_once,
    read_bytes,
    read_json_file,
    read_tail,
    write_atomic,
)
from subagents.orchestration_files import OrchestrationFiles, TaskFiles
from subagents.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    Choice = TypeVar("Choice", bound=StrEnum)
    Made = TypeVar("Made")
    Report = TypeVar("Report", "Heartbeat", "TaskResult")

__all__ = [
    "GATE_LISTS",
    "JSON_BYTES",
    "SPEC_BYTES",
    "USAGE_FIGURES",
    "ContractError",
    "Failure",
    "Fault",
    "GateKind",
    "GateOrigin",
    "GateOutcome",
    "GateSpec",
    "GateStatus",
    "Heartbeat",
    "OrchestrationFiles",
    "ResultStatus",
    "Role",
    "StepPlan",
    "SubagentError",
    "TaskFiles",
    "TaskResult",
    "TaskSpec",
    "TaskType",
    "clean_text",
    "dump_json",
    "load_json",
    "publish_once",
    "read_bytes",
    "read_json_file",
    "read_report",
    "read_tail",
    "replace",
    "write_atomic",
]


# What the columns take that the figures of a report end up in; a larger one is no report of ours.
LARGEST, LARGEST_COUNT, LARGEST_COST = 2**53, 2**31 - 1, 999_999

# The four figures of what a model read and wrote, in a result's `usage` and in each of its `requests`. Input is what
# was neither read from the provider's cache nor written into it.
USAGE_FIGURES = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class Role(StrEnum):
    GENERATOR = "generator"
    EXECUTOR = "executor"
    REVIEWER = "reviewer"
    CONTEXT_UPDATER = "context_updater"


class TaskType(StrEnum):
    GENERATE = "generate"
    EXECUTE = "execute"
    REVIEW = "review"
    UPDATE_CONTEXT = "update_context"
    STAGE_CHECK = "stage_check"


class GateKind(StrEnum):
    """How a gate is checked: by a command, by looking at files, or by no rule at all."""

    COMMAND = "command"
    FILES_EXIST = "files_exist"
    LINE_COUNT = "line_count"
    SYNTAX = "syntax"
    TESTS = "tests"
    COVERAGE = "coverage"
    CONFLICT_MARKERS = "conflict_markers"
    FILE_SIZE = "file_size"
    PARSES = "parses"
    UNVERIFIED = "unverified"


class GateOrigin(StrEnum):
    """Who asks for a gate: the plan's check-box, the project's settings, or the server itself."""

    PLAN = "plan"
    PROJECT = "project"
    STANDARD = "standard"


# What a result calls the gates of each origin; all three lists have one shape.
GATE_LISTS = {GateOrigin.PLAN: "validation_gates", GateOrigin.PROJECT: "project_gates", GateOrigin.STANDARD: "standard_gates"}


class GateStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNVERIFIED = "unverified"


class ResultStatus(StrEnum):
    SUCCESS = "success"
    FAILED = "failed"


class Failure(StrEnum):
    """The failure reasons that an attempt itself can report (framework.md §6 has the whole closed list)."""

    CRASHED = "crashed"
    BAD_RESULT = "bad_result"
    GATE_FAILED = "gate_failed"
    AGENT_ERROR = "agent_error"
    RATE_LIMITED = "rate_limited"
    BUDGET = "budget"
    NEEDS_AGENT = "needs_agent"
    CANCELLED = "cancelled"
    PHASE_TIME_LIMIT = "phase_time_limit"


class Fault(StrEnum):
    """What an agent_error is besides an error of the agent: it says whether another try can help."""

    TRANSIENT = "transient"  # an overload or a fault of the network: tried again by itself, after a back-off
    KEY_REFUSED = "key_refused"  # every other attempt fails of the same: the whole run stops


class _Fields:
    """One JSON object being read: each getter gives a checked value or raises ContractError naming file and field."""

    def __init__(self, data: Any, path: str) -> None:
        if not isinstance(data, dict):
            raise ContractError(path, "is not a JSON object")
        self.data, self.path = data, path

    def refuse(self, name: str, reason: str) -> ContractError:
        return ContractError(f"{self.path}: {name}", reason)

    def raw(self, name: str) -> Any:
        if name not in self.data:
            raise self.refuse(name, "is missing")
        return self.data[name]

    def text(self, name: str, default: str | None = None) -> str:
        value = self.data.get(name, default) if default is not None else self.raw(name)
        if not isinstance(value, str):
            raise self.refuse(name, "is not text")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.data.get(name, default)
        if not isinstance(value, bool):
            raise self.refuse(name, "is neither true nor false")
        return value

    def number(self, name: str, *, whole: bool = False, minimum: float = 0, maximum: float = LARGEST) -> float:
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise self.refuse(name, "is not a whole number" if whole else "is not a number")
        if not minimum <= value <= maximum:
            raise self.refuse(name, f"is not within {minimum:g} and {maximum:g}")
        return float(value)

    def integer(self, name: str, maximum: int = LARGEST_COUNT) -> int:
        self.number(name, whole=True, maximum=maximum)
        return int(self.data[name])

    def optional_integer(self, name: str) -> int | None:
        return None if self.data.get(name) is None else self.integer(name, LARGEST)

    def optional_number(self, name: str, maximum: float = LARGEST) -> float | None:
        return None if self.data.get(name) is None else self.number(name, maximum=maximum)

    def choice(self, name: str, kind: type[Choice], default: Choice | None = None) -> Choice:
        try:
            return kind(self.text(name, None if default is None else str(default)))
        except ValueError:
            raise self.refuse(name, f"is none of {', '.join(kind)}") from None

    def items(self, name: str, make: Callable[[Any, str], Made]) -> tuple[Made, ...]:
        value = self.data.get(name, [])
        if not isinstance(value, list):
            raise self.refuse(name, "is not a list")
        return tuple(make(item, f"{self.path}: {name}[{position}]") for position, item in enumerate(value))

    def texts(self, name: str) -> tuple[str, ...]:
        return self.items(name, _text)

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.data.get(name, {})
        if not isinstance(value, dict):
            raise self.refuse(name, "is not an object")
        return value

    def usage(self) -> dict[str, Any]:
        """`usage` with its figures and those of its requests checked; a figure that is missing or None is unknown."""
        usage = self.mapping("usage")
        figures = _Fields(usage, f"{self.path}: usage")
        for part in (figures, *figures.items("requests", _Fields)):
            for name in USAGE_FIGURES:
                part.optional_integer(name)
            part.optional_number("cost_usd", LARGEST_COST)
        return usage


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise ContractError(path, "is not text")
    return value


@record
class StepPlan:
    """One step of a phase; `commands` are the bodies of its fenced shell blocks, in order."""

    number: int
    text: str
    commands: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"number": self.number, "text": self.text, "commands": list(self.commands)}

    @classmethod
    def from_json(cls, data: Any, path: str = "step") -> StepPlan:
        """Raises ContractError."""
        fields = _Fields(data, path)
        return cls(fields.integer("number"), fields.text("text"), fields.texts("commands"))


@record
class GateSpec:
    """One gate with the check it is bound to.

    `command` is a shell command line (kinds command, and tests and coverage once a runner is known), `paths` the
    files looked at (files_exist, line_count, syntax; empty in syntax = the files the phase changed), `minimum` and
    `maximum` are lines or per cent, or bytes (file_size). Of a plan only what was bound when it was imported is ever
    run, of a project what its run began with. `position` counts within the gates of one origin.
    """

    position: int
    text: str
    kind: GateKind
    command: str = ""
    paths: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    origin: GateOrigin = GateOrigin.PLAN

    def to_json(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "text": self.text,
            "kind": str(self.kind),
            "command": self.command,
            "paths": list(self.paths),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "origin": str(self.origin),
        }

    @classmethod
    def from_json(cls, data: Any, path: str = "gate") -> GateSpec:
        """Raises ContractError."""
        fields = _Fields(data, path)
        return cls(
            position=fields.integer("position"),
            text=fields.text("text"),
            kind=fields.choice("kind", GateKind),
            command=fields.text("command", ""),
            paths=fields.texts("paths"),
            minimum=fields.optional_number("minimum"),
            maximum=fields.optional_number("maximum"),
            origin=fields.choice("origin", GateOrigin, GateOrigin.PLAN),
        )


@record
class GateOutcome:
    """What a gate's check found: `output` is capped head and tail, `note` says why when there is no exit code.

    `phase` is the phase's key in a stage check, where gates of several phases are judged at once; else "".
    A command that failed was run again where the task says so: `first_exit_code` and `first_output` are then the first
    run's, the others the second's, `seconds` both together; `flaky` when the second one passed.
    """

    position: int
    text: str
    kind: GateKind
    status: GateStatus
    command: str = ""
    exit_code: int | None = None
    commit: str = ""
    output: str = ""
    seconds: float = 0.0
    note: str = ""
    phase: str = ""
    origin: GateOrigin = GateOrigin.PLAN
    flaky: bool = False
    first_exit_code: int | None = None
    first_output: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "text": self.text,
            "kind": str(self.kind),
            "status": str(self.status),
            "command": self.command,
            "exit_code": self.exit_code,
            "commit": self.commit,
            "output": self.output,
            "seconds": round(self.seconds, 3),
            "note": self.note,
            "phase": self.phase,
            "origin": str(self.origin),
            "flaky": self.flaky,
            "first_exit_code": self.first_exit_code,
            "first_output": self.first_output,
        }

    @classmethod
    def from_json(cls, data: Any, path: str = "gate") -> GateOutcome:
        """Raises ContractError."""
        fields = _Fields(data, path)
        for name in ("exit_code", "first_exit_code"):
            if fields.data.get(name) is not None:
                fields.number(name, whole=True, minimum=-255, maximum=LARGEST_COUNT)
        return cls(
            position=fields.integer("position"),
            text=fields.text("text"),
            kind=fields.choice("kind", GateKind),
            status=fields.choice("status", GateStatus),
            command=fields.text("command", ""),
            exit_code=fields.data.get("exit_code"),
            commit=fields.text("commit", ""),
            output=fields.text("output", ""),
            seconds=fields.number("seconds"),
            note=fields.text("note", ""),
            phase=fields.text("phase", ""),
            origin=fields.choice("origin", GateOrigin, GateOrigin.PLAN),
            flaky=fields.flag("flaky", False),
            first_exit_code=fields.data.get("first_exit_code"),
            first_output=fields.text("first_output", ""),
        )


@record
class TaskSpec:
    """Everything an attempt needs to know (framework.md §3 and what the machinery adds).

    `task_id` is "phase-" and the phase's key, or "stage-2" for a stage check. `attempt_ref` is where the attempt's
    commits are kept (refs/ce/attempts/batch-44/2a/1). `payload` is the role's own: generator {"path", "text"};
    executor {"start"}, a commit beyond the base whose tree is judged as it is, or nothing;
    stage_check {"phases": [{"key", "gates": [GateSpec JSON], "files_modified": [path]}], "gates": [GateSpec JSON] of the
    project and of the server, "changed": [path]}; reviewer {"moment", "path", "findings", "changed"}; context_updater
    {"path", "front"}. Paths of the machinery are absolute. `rerun_gates`: a gate's command that fails is run once more.
    `max_cost_usd` caps this attempt alone (None: no cap). `session` is one of an earlier attempt to go on with, and
    `earlier_failure` what that attempt failed of; `context_file` holds the run's shared context; `sandbox` is the level
    that commands run at ("": rlimit); `options` are the backend's settings and never hold a key.
    `room` is what commands may reach besides their own: {"network": "none"|"steps"|"all", "paths": [to read],
    "memory_bytes", "file_bytes", "processes"}, where 0 or nothing is no limit.
    A report with another attempt or token counts for nothing.
    """

    task_id: str
    type: TaskType
    role: Role
    prp_id: str
    batch_id: int
    run: int
    stage: int
    key: str
    phase_name: str
    goal: str
    attempt: int
    token: str
    repository: str
    base_commit: str
    attempt_ref: str
    checkout: str
    attempt_dir: str
    created_at: str
    timeout_seconds: float
    heartbeat_seconds: float = 30.0
    output_limit_bytes: int = 10_000_000
    backend: str = "steps"
    model: str = ""
    complexity: str = ""
    estimated_hours: float | None = None
    steps: tuple[StepPlan, ...] = ()
    gates: tuple[GateSpec, ...] = ()
    files_modified: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    rerun_gates: bool = True
    payload: dict[str, Any] = {}
    max_cost_usd: float | None = None
    session: str = ""
    earlier_failure: str = ""
    context_file: str = ""
    sandbox: str = ""
    options: dict[str, Any] = {}
    room: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """What the task's files are called by: "2a" in task-2a.json."""
        return self.task_id.removeprefix("phase-")

    @property
    def files(self) -> TaskFiles:
        """The task's four files in the repository. Raises ContractError."""
        return OrchestrationFiles(self.repository).task(self.batch_id, self.name)

    def to_json(self) -> dict[str, Any]:
        return {
            "task_id": self.task_id,
            "type": str(self.type),
            "role": str(self.role),
            "prp_id": self.prp_id,
            "batch_id": self.batch_id,
            "run": self.run,
            "stage": self.stage,
            "key": self.key,
            "phase_name": self.phase_name,
            "goal": self.goal,
            "complexity": self.complexity,
            "estimated_hours": self.estimated_hours,
            "steps": [step.to_json() for step in self.steps],
            "gates": [gate.to_json() for gate in self.gates],
            "files_modified": list(self.files_modified),
            "dependencies": list(self.dependencies),
            "rerun_gates": self.rerun_gates,
            "created_at": self.created_at,
            "timeout_seconds": self.timeout_seconds,
            "heartbeat_seconds": self.heartbeat_seconds,
            "output_limit_bytes": self.output_limit_bytes,
            "attempt": self.attempt,
            "token": self.token,
            "backend": self.backend,
            "model": self.model,
            "repository": self.repository,
            "base_commit": self.base_commit,
            "attempt_ref": self.attempt_ref,
            "checkout": self.checkout,
            "attempt_dir": self.attempt_dir,
            "payload": self.payload,
            "max_cost_usd": self.max_cost_usd,
            "session": self.session,
            "earlier_failure": self.earlier_failure,
            "context_file": self.context_file,
            "sandbox": self.sandbox,
            "options": self.options,
            "room": self.room,
        }

    @classmethod
    def from_json(cls, data: Any, path: str = "spec") -> TaskSpec:
        """Raises ContractError."""
        fields = _Fields(data, path)
        return cls(
            task_id=fields.text("task_id"),
            type=fields.choice("type", TaskType),
            role=fields.choice("role", Role),
            prp_id=fields.text("prp_id"),
            batch_id=fields.integer("batch_id"),
            run=fields.integer("run"),
            stage=fields.integer("stage"),
            key=fields.text("key"),
            phase_name=fields.text("phase_name"),
            goal=fields.text("goal"),
            attempt=fields.integer("attempt"),
            token=fields.text("token"),
            repository=fields.text("repository"),
            base_commit=fields.text("base_commit"),
            attempt_ref=fields.text("attempt_ref"),
            checkout=fields.text("checkout"),
            attempt_dir=fields.text("attempt_dir"),
            created_at=fields.text("created_at"),
            timeout_seconds=fields.number("timeout_seconds"),
            heartbeat_seconds=fields.number("heartbeat_seconds"),
            output_limit_bytes=fields.integer("output_limit_bytes"),
            backend=fields.text("backend"),
            model=fields.text("model", ""),
            complexity=fields.text("complexity", ""),
            estimated_hours=fields.optional_number("estimated_hours"),
            steps=fields.items("steps", StepPlan.from_json),
            gates=fields.items("gates", GateSpec.from_json),
            files_modified=fields.texts("files_modified"),
            dependencies=fields.texts("dependencies"),
            rerun_gates=fields.flag("rerun_gates", True),
            payload=fields.mapping("payload"),
            max_cost_usd=fields.optional_number("max_cost_usd", LARGEST_COST),
            session=fields.text("session", ""),
            earlier_failure=fields.text("earlier_failure", ""),
            context_file=fields.text("context_file", ""),
            sandbox=fields.text("sandbox", ""),
            options=fields.mapping("options"),
            room=fields.mapping("room"),
        )


@record
class Heartbeat:
    """A sign of life. `last_update` moves with the wrapper's clock, `last_progress` with what the agent does (ISO 8601)."""

    task_id: str
    status: str
    progress: str
    tokens_used: int | None
    elapsed_seconds: float
    last_update: str
    last_progress: str
    step: int
    total_steps: int
    cost_usd: float | None
    activity: str
    attempt: int
    token: str

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}  # type: ignore[attr-defined]  # records have slots

    @classmethod
    def from_json(cls, data: Any, path: str = "heartbeat") -> Heartbeat:
        """Raises ContractError."""
        fields = _Fields(data, path)
        return cls(
            task_id=fields.text("task_id"),
            status=fields.text("status"),
            progress=fields.text("progress"),
            tokens_used=fields.optional_integer("tokens_used"),
            elapsed_seconds=fields.number("elapsed_seconds"),
            last_update=fields.text("last_update"),
            last_progress=fields.text("last_progress"),
            step=fields.integer("step"),
            total_steps=fields.integer("total_steps"),
            cost_usd=fields.optional_number("cost_usd", LARGEST_COST),
            activity=fields.text("activity"),
            attempt=fields.integer("attempt"),
            token=fields.text("token"),
        )


@record
class TaskResult:
    """How an attempt ended (framework.md §3). `failure_reason` is "" on success, else a word of the closed list.

    `report` is the role's own: reviewer {"findings", "document", "semantic"}; context_updater {"path", "changed", "note"}.
    `usage` has the USAGE_FIGURES and "requests", each with "model", the figures and "cost_usd"; {} when no model was asked.
    `session` can be given to a later attempt; `retry_at` (ISO 8601, with rate_limited) is when the provider takes
    requests again; `sandbox` is the level that was used. `fault` (with agent_error) is "" or a word of Fault.
    """

    task_id: str
    prp_id: str
    status: ResultStatus
    attempt: int
    token: str
    failure_reason: str = ""
    errors: tuple[str, ...] = ()
    steps_completed: int = 0
    total_steps: int = 0
    files_created: tuple[str, ...] = ()
    files_modified: tuple[str, ...] = ()
    files_deleted: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    prps_generated: tuple[str, ...] = ()
    gates: tuple[GateOutcome, ...] = ()
    base_commit: str = ""
    head_commit: str = ""
    tree: str = ""
    usage: dict[str, Any] = {}
    tokens_used: int | None = None
    cost_usd: float | None = None
    elapsed_seconds: float = 0.0
    exit_code: int | None = None
    report: dict[str, Any] = {}
    session: str = ""
    retry_at: str = ""
    sandbox: str = ""
    fault: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "task_id": self.task_id,
            "prp_id": self.prp_id,
            "status": str(self.status),
            "failure_reason": self.failure_reason,
            "steps_completed": self.steps_completed,
            "total_steps": self.total_steps,
            "output": {
                "files_created": list(self.files_created),
                "files_modified": list(self.files_modified),
                "files_deleted": list(self.files_deleted),
                "commits": list(self.commits),
                "prps_generated": list(self.prps_generated),
            },
            **{name: _judged([gate for gate in self.gates if gate.origin == origin]) for origin, name in GATE_LISTS.items()},
            "errors": list(self.errors),
            "usage": self.usage,
            "tokens_used": self.tokens_used,
            "cost_usd": self.cost_usd,
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "attempt": self.attempt,
            "token": self.token,
            "base_commit": self.base_commit,
            "head_commit": self.head_commit,
            "tree": self.tree,
            "exit_code": self.exit_code,
            "report": self.report,
            "session": self.session,
            "retry_at": self.retry_at,
            "sandbox": self.sandbox,
            "fault": self.fault,
        }

    @classmethod
    def from_json(cls, data: Any, path: str = "result") -> TaskResult:
        """Raises ContractError, also when a success claims a failed gate or a failure names no reason."""
        fields = _Fields(data, path)
        output = _Fields(fields.raw("output"), f"{path}: output")
        fields.raw("validation_gates")
        judged = [_Fields(fields.data.get(name, {}), f"{path}: {name}") for name in GATE_LISTS.values()]
        if fields.data.get("exit_code") is not None:
            fields.number("exit_code", whole=True, minimum=-255, maximum=LARGEST_COUNT)
        result = cls(
            task_id=fields.text("task_id"),
            prp_id=fields.text("prp_id"),
            status=fields.choice("status", ResultStatus),
            attempt=fields.integer("attempt"),
            token=fields.text("token"),
            failure_reason=fields.text("failure_reason", ""),
            errors=fields.texts("errors"),
            steps_completed=fields.integer("steps_completed"),
            total_steps=fields.integer("total_steps"),
            files_created=output.texts("files_created"),
            files_modified=output.texts("files_modified"),
            files_deleted=output.texts("files_deleted"),
            commits=output.texts("commits"),
            prps_generated=output.texts("prps_generated"),
            gates=tuple(gate for each in judged for gate in each.items("details", GateOutcome.from_json)),
            base_commit=fields.text("base_commit", ""),
            head_commit=fields.text("head_commit", ""),
            tree=fields.text("tree", ""),
            usage=fields.usage(),
            tokens_used=fields.optional_integer("tokens_used"),
            cost_usd=fields.optional_number("cost_usd", LARGEST_COST),
            elapsed_seconds=fields.number("elapsed_seconds"),
            exit_code=fields.data.get("exit_code"),
            report=fields.mapping("report"),
            session=fields.text("session", ""),
            retry_at=fields.text("retry_at", ""),
            sandbox=fields.text("sandbox", ""),
            fault=fields.text("fault", ""),
        )
        if result.status == ResultStatus.SUCCESS and any(gate.status == GateStatus.FAILED for gate in result.gates):
            raise ContractError(path, "claims success with a failed gate")
        if result.status == ResultStatus.SUCCESS and result.failure_reason:
            raise ContractError(path, "claims success with a failure reason")
        if result.status == ResultStatus.FAILED and result.failure_reason not in set(Failure):
            raise ContractError(path, "is a failure without a reason from the list")
        if result.fault and (result.failure_reason != Failure.AGENT_ERROR or result.fault not in set(Fault)):
            raise ContractError(path, "names a fault that there is not, or one without agent_error")
        return result


def _judged(gates: Sequence[GateOutcome]) -> dict[str, Any]:
    counts = {str(status): sum(gate.status == status for gate in gates) for status in GateStatus}
    return {**counts, "flaky": sum(gate.flaky for gate in gates), "details": [gate.to_json() for gate in gates]}


def read_report(kind: type[Report], path: str, spec: TaskSpec) -> tuple[Report, bytes] | None:
    """The attempt's heartbeat or result with the bytes it was read from; None when there is no file.

    Raises ContractError, also for a report of another task, attempt or token: it is late or forged.
    """
    name = os.path.basename(path)
    data = read_bytes(path, JSON_BYTES)
    if data is None:
        return None
    report = kind.from_json(load_json(data, name), name)
    if (report.task_id, report.attempt, report.token) != (spec.task_id, spec.attempt, spec.token):
        raise ContractError(name, f"is not of attempt {spec.attempt} of {spec.task_id}")
    return report, data
