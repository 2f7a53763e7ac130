"""The contract of an attempt: its spec, heartbeats and result, and their JSON.

People's own scripts read these shapes too (docs/architecture.md). Everything that is read back is untrusted: an invalid file
raises ContractError with the file, the field and the reason.
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
from subagents.orchestration_files import OrchestrationFiles, TaskFiles, task_file_name
from subagents.record import defaults_of, record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Self, TypeVar

    Choice = TypeVar("Choice", bound=StrEnum)
    Made = TypeVar("Made")
    Report = TypeVar("Report", "Heartbeat", "TaskResult")

__all__ = [
    "EXACT_MODEL",
    "GATE_LISTS",
    "JSON_BYTES",
    "SPEC_BYTES",
    "USAGE_FIGURES",
    "Connection",
    "ContractError",
    "EntryKind",
    "Failure",
    "Fault",
    "GateKind",
    "GateOrigin",
    "GateOutcome",
    "GateSpec",
    "GateStatus",
    "Heartbeat",
    "Look",
    "LookKind",
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
    "task_file_name",
    "write_atomic",
]


# The largest figures that the database columns take. A report of ours has no larger one.
LARGEST, LARGEST_COUNT, LARGEST_COST = 2**53, 2**31 - 1, 999_999

# The four token counts in a result's `usage` and in each of its `requests`. Input tokens are those that were neither read
# from the provider's cache nor written to it.
USAGE_FIGURES = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")

# A model's exact id, beside the short names: of the provider ("claude-opus-4-1"), or of a gateway ("vendor/model", "anthropic.claude-x").
EXACT_MODEL = r"(claude-|[A-Za-z0-9_-]+[./:])[\w./:@-]{1,80}"

# Fields of records that are read or written in a way of their own.
EXIT_CODES, COSTS, ELAPSED = ("exit_code", "first_exit_code"), ("cost_usd", "max_cost_usd"), ("seconds", "elapsed_seconds")
OUTPUT_LISTS = ("files_created", "files_modified", "files_deleted", "commits", "prps_generated")


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
    VERIFY = "verify"
    DRAFT = "draft"


class GateKind(StrEnum):
    """How a gate is checked: by a command, by reading files, or not automatically."""

    COMMAND = "command"
    FILES_EXIST = "files_exist"
    LINE_COUNT = "line_count"
    SYNTAX = "syntax"
    TESTS = "tests"
    COVERAGE = "coverage"
    CONFLICT_MARKERS = "conflict_markers"
    FILE_SIZE = "file_size"
    PARSES = "parses"
    SECRETS = "secrets"
    UNVERIFIED = "unverified"


class GateOrigin(StrEnum):
    """Where a gate comes from: a check box of the plan, the project's settings, or the server itself."""

    PLAN = "plan"
    PROJECT = "project"
    STANDARD = "standard"


# The name of each origin's gates in a result; all three lists have the same shape.
GATE_LISTS = {GateOrigin.PLAN: "validation_gates", GateOrigin.PROJECT: "project_gates", GateOrigin.STANDARD: "standard_gates"}


class GateStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNVERIFIED = "unverified"


class LookKind(StrEnum):
    """Why a person is asked to look at a phase that succeeded."""

    JUDGES_FILE = "judges_file"  # it changed a file that one of its gates runs or reads as configuration
    TAKEN_BACK = "taken_back"  # it takes back, or deletes, what another phase of the batch did
    BROKEN_LATER = "broken_later"  # a gate of it fails on the merged tree of a later stage
    PROTECTED = "protected"  # it changed a file that the project protects
    SECRET = "secret"  # noqa: S105 -- it marked something that looks like a secret as none
    WHITE_SPACE = "white_space"  # all that it changed is white space


class EntryKind(StrEnum):
    """What an entry of an agent's transcript tells (subagents/transcript.py)."""

    MESSAGE = "message"
    THINKING = "thinking"
    TOOL_CALL = "tool call"
    RESULT = "result"
    EDIT = "edit"
    NOTE = "note"
    ERROR = "error"


class ResultStatus(StrEnum):
    SUCCESS = "success"
    FAILED = "failed"


RESULT = "result.json"  # in the attempt's directory, where .ce/orchestration/ could not be written


class Failure(StrEnum):
    """The failure reasons that an attempt itself can report; FailureReason in batches/core/engine/states.py has all of them."""

    CRASHED = "crashed"
    BAD_RESULT = "bad_result"
    GATE_FAILED = "gate_failed"
    AGENT_ERROR = "agent_error"
    RATE_LIMITED = "rate_limited"
    BUDGET = "budget"
    NEEDS_AGENT = "needs_agent"
    CANCELLED = "cancelled"
    PHASE_TIME_LIMIT = "phase_time_limit"
    MEMORY_LIMIT = "memory_limit"
    SETUP_FAILED = "setup_failed"
    MACHINE_FAULT = "machine_fault"  # the attempt is put off: no failure of the phase


class Fault(StrEnum):
    """The kind of an agent_error: it says whether another try can help."""

    TRANSIENT = "transient"  # an overload or a network error: retried automatically after a back-off
    # Every other attempt would meet these in the same way. The run waits, and no phase fails:
    OVERLOADED = "overloaded"  # tried again like a transient one first
    UNREACHABLE = "unreachable"  # no network to the API
    KEY_REFUSED = "key_refused"
    NO_CREDIT = "no_credit"
    UNKNOWN_MODEL = "unknown_model"


class _Fields:
    """A JSON object that is being read. Each getter returns a checked value or raises ContractError with file and field."""

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

    def optional_integer(self, name: str, minimum: int = 0, maximum: int = LARGEST) -> int | None:
        if self.data.get(name) is None:
            return None
        self.number(name, whole=True, minimum=minimum, maximum=maximum)
        return int(self.data[name])

    def optional_number(self, name: str, maximum: float = LARGEST) -> float | None:
        return None if self.data.get(name) is None else self.number(name, maximum=maximum)

    def choice(self, name: str, kind: type[Choice], default: Choice | None = None) -> Choice:
        try:
            return kind(self.text(name, None if default is None else str(default)))
        except ValueError:
            raise self.refuse(name, f"is not one of {', '.join(kind)}") from None

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
        """`usage`, with its figures and those of its requests checked. A figure that is missing or None is unknown."""
        usage = self.mapping("usage")
        figures = _Fields(usage, f"{self.path}: usage")
        for part in (figures, *figures.items("requests", _Fields)):
            for name in USAGE_FIGURES:
                part.optional_integer(name)
            part.optional_number("cost_usd", LARGEST_COST)
        return usage

    def value(self, name: str, kind: str, default: Any) -> Any:
        """The checked value of a field whose annotation is `kind`. Numbers are always required, text without a `default`."""
        match kind:
            case "str":
                return self.text(name, default)
            case "int":
                return self.integer(name)
            case "float":
                return self.number(name)
            case "bool":
                return self.flag(name, default)
            case "int | None" if name in EXIT_CODES:
                return self.optional_integer(name, minimum=-255, maximum=LARGEST_COUNT)
            case "int | None":
                return self.optional_integer(name)
            case "float | None":
                return self.optional_number(name, LARGEST_COST if name in COSTS else LARGEST)
            case "dict[str, Any]":
                return self.usage() if name == "usage" else self.mapping(name)
            case "tuple[str, ...]":
                return self.texts(name)
        item = kind.removeprefix("tuple[").removesuffix(", ...]")
        return self.choice(name, globals()[kind], default) if item == kind else self.items(name, globals()[item].from_json)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise ContractError(path, "is not text")
    return value


def _plain(name: str, value: Any) -> Any:
    """A field's value as JSON has it."""
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, tuple | list):
        return [item if isinstance(item, str) else item.to_json() for item in value]
    return round(value, 3) if name in ELAPSED and value is not None else value


class _Message:
    """A record that is stored as a JSON object. Its annotated fields say how each value is written, read and checked."""

    __slots__ = ()
    LABEL = "message"  # names the record in errors when no file is given
    ORDER: tuple[str, ...] = ()  # fields in the order of the JSON, where it is not that of the record
    REQUIRED: tuple[str, ...] = ()  # fields that have a default, but must be in the JSON
    WRITTEN: dict[str, str] = {}  # {field: its name in the JSON, where that is another one: names in files stay}

    def to_json(self) -> dict[str, Any]:
        names = self.ORDER or self.__match_args__  # type: ignore[attr-defined]  # set by @record
        return {self.WRITTEN.get(name, name): _plain(name, getattr(self, name)) for name in names}

    @classmethod
    def from_json(cls, data: Any, path: str = "") -> Self:
        """Raises ContractError."""
        fields = _Fields(data, path or cls.LABEL)
        return cls(**{name: cls._read(fields, name) for name in cls.__annotations__})

    @classmethod
    def _read(cls, fields: _Fields, name: str) -> Any:
        default = None if name in cls.REQUIRED else defaults_of(cls).get(name)
        return fields.value(cls.WRITTEN.get(name, name), cls.__annotations__[name], default)


@record
class StepPlan(_Message):
    """A step of a phase; `commands` are the contents of its fenced shell blocks, in order."""

    LABEL = "step"

    number: int
    text: str
    commands: tuple[str, ...] = ()


@record
class GateSpec(_Message):
    """A gate with the check that it is bound to.

    `command` is a shell command line (kind command; tests and coverage once a runner is known). `paths` are the files to
    check (files_exist, line_count, syntax; empty for syntax: the files that the phase changed). `minimum` and `maximum`
    are lines, per cent, or bytes (file_size). A plan's gate runs as it was bound at import, a project's gate as it was when
    the run started. `position` counts within the gates of one origin.
    """

    LABEL = "gate"

    position: int
    text: str
    kind: GateKind
    command: str = ""
    paths: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    origin: GateOrigin = GateOrigin.PLAN


@record
class GateOutcome(_Message):
    """What a gate's check found: `output` is capped head and tail, `note` says why when there is no exit code.

    `phase` is the phase's key in a stage check, where gates of several phases are judged at once; else "".
    A command that failed was run again where the task says so: `first_exit_code` and `first_output` are then the first
    run's, the others the second's, `seconds` both together; `flaky` when the second one passed.
    `environment` is the id of the project's environment that the command had, "" when it needs none.
    """

    LABEL = "gate"

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
    environment: str = ""


@record
class Look(_Message):
    """Something about a phase that a person should look at; with `declared` the plan says so itself, and it is only named.

    `phase` is the key of the phase whose work is taken back, or whose gate fails later; "" for a judge's file.
    """

    LABEL = "look"

    kind: LookKind
    path: str
    text: str
    declared: bool = False
    phase: str = ""


@record
class Connection(_Message):
    """How often an attempt asked its network proxy for a host and port, and the bytes that went there and came back.

    `refused` says why it did not connect; "" when it did.
    """

    LABEL = "connection"

    host: str
    port: int
    count: int
    sent: int | None = None
    received: int | None = None
    refused: str = ""


@record
class TaskSpec(_Message):
    """Everything that an attempt needs to know.

    `task_id` is "phase-" and the phase's key, or "stage-2" for a stage check. `attempt_ref` keeps the attempt's commits
    (refs/ce/attempts/batch-44/2a/1). `payload` depends on the role: generator {"path", "text"}; executor {"start"}, a
    commit after the base to start from, and {"others"}, the batch's other phases (told_phases.py), or neither; stage_check
    {"phases": [{"key", "gates": [GateSpec JSON], "files_modified": [path]}], "gates": [GateSpec JSON] of the project and of
    the server, "changed": [path]}; reviewer {"moment", "path", "findings", "changed"}; context_updater {"path", "front"};
    verify {} (roles/verifier.py); draft {"asked_for", "idea", …} (roles/drafter.py). Paths outside
    `payload`, `steps`, `gates` and `files_modified` are absolute. `rerun_gates`: a gate's command that fails is run once more.
    `max_cost_usd` caps this attempt alone (None: no cap). `session` is an earlier attempt's session to continue, and
    `earlier_failure` says why that attempt failed. `context_file` holds the stage's shared context. `sandbox` is the level
    of the commands' sandbox ("": rlimit). `options` are the backend's settings and never hold a key.
    `policy` (in the JSON "room") is what the sandbox allows: {"network": "none"|"steps"|"all", "paths": [to read],
    "memory_bytes" (in use, of all its processes), "address_bytes" (address space of each), "file_bytes", "processes"};
    0 or a missing key is no limit. With "hosts" (lines as in allowed_hosts.py) the network is these hosts only; "private" are
    networks of theirs that need not be public.
    `batch_base` is the commit that the batch began with: what lies between it and the base is the work of other phases.
    `environment` is what the project says of its environment (built_environment.EnvironmentSettings); {} when it needs none.
    `section` is the phase's part of the plan as its author wrote it, `overview` the plan's text outside the phases; both cut
    to a length. `protected` are the project's patterns (protected_paths.py). `plan` is the phase's place in its plan, for the
    prompt: {"title", "prp": path, "phases": [{"key", "title", "relation": "needs"|"needed_by"|""}], "more": how many others,
    "needs": [{"key", "title", "summary", "commits", "files"}]}, or {}. `instructions` are those of the
    project's settings for this role. `purse` is the file in which the batch's attempts book what they spend (purse.py). On
    a worker host `lease` is the file with the monotonic time at which the attempt ends itself. A report with another attempt or
    token is refused.
    """

    LABEL = "spec"
    REQUIRED = ("backend",)
    ORDER = (
        "task_id", "type", "role", "prp_id", "batch_id", "run", "stage", "key", "phase_name", "goal", "complexity", "estimated_hours",
        "steps", "gates", "files_modified", "dependencies", "rerun_gates", "created_at", "timeout_seconds", "heartbeat_seconds",
        "output_limit_bytes", "attempt", "token", "backend", "model", "repository", "base_commit", "batch_base", "attempt_ref",
        "checkout", "attempt_dir", "payload", "max_cost_usd", "session", "earlier_failure", "context_file", "sandbox", "options", "policy",
        "environment", "section", "overview", "protected", "plan", "instructions", "purse", "lease",
    )  # fmt: skip
    WRITTEN = {"policy": "room"}

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
    policy: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    batch_base: str = ""
    section: str = ""
    overview: str = ""
    protected: tuple[str, ...] = ()
    plan: dict[str, Any] = {}
    instructions: str = ""
    purse: str = ""
    lease: str = ""

    @property
    def name(self) -> str:
        """What the task's files are called by: "2a" in task-2a.json, "2a.review" in task-2a.review.json."""
        return task_file_name(self.task_id.removeprefix("phase-"), self.type)

    @property
    def files(self) -> TaskFiles:
        """The task's files in the repository. Raises ContractError."""
        return OrchestrationFiles(self.repository).task(self.batch_id, self.name)


@record
class Heartbeat(_Message):
    """A sign of life. `last_update` is when it was written, `last_progress` when the agent last did something (ISO 8601).

    `activity` began at `activity_since`: a word of ours for a part of the attempt, or what an agent does ("reads src/app.py").
    `question` is what the agent asks a person now: {"number", "text", "answers" (suggested)}; {} when it asks nothing. `elapsed_seconds`
    are without the time that it waited for answers.
    """

    LABEL = "heartbeat"

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
    activity_since: str = ""
    question: dict[str, Any] = {}


@record
class TaskResult(_Message):
    """How an attempt ended. `failure_reason` is "" on success, else a word of the closed list.

    `report` is the role's own: executor {"summary"} where its agent gave one, with "comments": [{"number", "answer"}] where it dealt
    with some of a person; reviewer {"findings", "document", "semantic"};
    context_updater {"path", "changed", "note"}; drafter {"answer"}.
    `usage` has the USAGE_FIGURES and "requests", each with "model", the figures and "cost_usd"; {} when no model was asked.
    A later attempt can continue `session`; `retry_at` (ISO 8601, with rate_limited) is when the provider accepts
    requests again; `sandbox` is the level that was used. `fault` (with agent_error) is "" or a word of Fault. `looks` are what
    a person should look at; `connections` what the network proxy counted, the refused ones first. `prompt_sha256` is the hash
    of what the agent was told (told_prompt.py), "" when none was asked. `tools` are those that an executor with Claude had:
    {"tools", "denied", "skills", "subagents": [name], "servers": [{"name", "at", "problem", "tools", "kept_back"}]}, or {}.
    """

    ORDER = (
        "task_id", "prp_id", "status", "failure_reason", "steps_completed", "total_steps", "output", "validation_gates",
        "project_gates", "standard_gates", "errors", "usage", "tokens_used", "cost_usd", "elapsed_seconds", "attempt", "token",
        "base_commit", "head_commit", "tree", "exit_code", "report", "session", "retry_at", "sandbox", "fault", "looks",
        "connections", "prompt_sha256", "tools",
    )  # fmt: skip

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
    looks: tuple[Look, ...] = ()
    connections: tuple[Connection, ...] = ()
    prompt_sha256: str = ""
    tools: dict[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        plain = {name: _plain(name, getattr(self, name)) for name in (*self.ORDER, *OUTPUT_LISTS) if hasattr(self, name)}
        gates = {name: _judged([gate for gate in self.gates if gate.origin == origin]) for origin, name in GATE_LISTS.items()}
        plain |= {"output": {name: plain[name] for name in OUTPUT_LISTS}, **gates}
        return {name: plain[name] for name in self.ORDER}

    @classmethod
    def from_json(cls, data: Any, path: str = "result") -> TaskResult:
        """Raises ContractError, also when a success claims a failed gate or a failure names no reason."""
        fields = _Fields(data, path)
        output = _Fields(fields.raw("output"), f"{path}: output")
        fields.raw("validation_gates")
        lists = [_Fields(fields.data.get(name, {}), f"{path}: {name}") for name in GATE_LISTS.values()]
        gates = tuple(gate for each in lists for gate in each.items("details", GateOutcome.from_json))
        names = [name for name in cls.__annotations__ if name != "gates"]
        result = cls(gates=gates, **{name: cls._read(output if name in OUTPUT_LISTS else fields, name) for name in names})
        if result.status == ResultStatus.SUCCESS and any(gate.status == GateStatus.FAILED for gate in result.gates):
            raise ContractError(path, "claims success with a failed gate")
        if result.status == ResultStatus.SUCCESS and result.failure_reason:
            raise ContractError(path, "claims success with a failure reason")
        if result.status == ResultStatus.FAILED and result.failure_reason not in set(Failure):
            raise ContractError(path, "is a failure without a reason from the list")
        if result.fault and (result.failure_reason != Failure.AGENT_ERROR or result.fault not in set(Fault)):
            raise ContractError(path, "names an unknown fault, or one without agent_error")
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
