"""The tools of the MCP server: each is one call of version 1 of the API, with its rights. No MCP in here."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

JsonObject = dict[str, Any]


class ToolRefused(Exception):
    """The call was not carried out; the message is a sentence for the agent."""


class Ask(Protocol):
    def __call__(self, method: str, path: str, query: Mapping[str, str], body: JsonObject | bytes | None) -> JsonObject:
        """What the API answers. `path` begins behind /api/v1/. Raises ToolRefused with the API's sentence."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One call. `members` are JSON schemas; those in the path are needed, and so are those of `needed`."""

    name: str
    title: str
    method: str
    path: str
    members: Mapping[str, JsonObject] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    plan_text: bool = False  # `text` is the body itself, a plan; the others are parameters

    @property
    def in_path(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET" or self.name in ("validate_plan", "analyze_plan")

    @property
    def schema(self) -> JsonObject:
        needed = [*self.in_path, *self.needed]
        return {"type": "object", "properties": dict(self.members), "required": needed, "additionalProperties": False}

    def call(self, ask: Ask, given: Mapping[str, Any]) -> JsonObject:
        """What the API answers to these arguments. Raises ToolRefused."""
        if unknown := sorted(set(given) - set(self.members)):
            raise ToolRefused(f"Unknown arguments: {', '.join(unknown)}. Known: {', '.join(self.members) or 'none'}.")
        if missing := [name for name in self.schema["required"] if name not in given]:
            raise ToolRefused(f"Missing arguments: {', '.join(missing)}.")
        path = self.path.format(**{name: quote(str(given[name]), safe="") for name in self.in_path})
        rest = {name: value for name, value in given.items() if name not in self.in_path and value is not None}
        if self.plan_text:
            return ask(self.method, path, _query(rest, "text"), str(rest["text"]).encode())
        if self.method == "GET":
            return ask(self.method, path, _query(rest), None)
        return ask(self.method, path, {}, rest)


def _query(given: Mapping[str, Any], *without: str) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if name not in without
    }


def _text(words: str) -> JsonObject:
    return {"type": "string", "description": words}


def _number(words: str) -> JsonObject:
    return {"type": "integer", "minimum": 0, "description": words}


NUMBER = _number("The number of a batch.")
KEY = _text("The key of a phase, such as 2a.")
PROJECT = _text("The slug of a project.")
PLAN = _number("The id of a saved plan.")
TEXT = _text("The plan, in markdown.")
PART = {"cursor": _text("The `next` of the answer before."), "limit": _number("The most items, up to 200.")}
OF_BATCH = {"number": NUMBER}
OF_PHASE = OF_BATCH | {"key": KEY}
WORDS = {"type": "string", "enum": ["all", "running", "failed", "done", "ready", "cancelled"]}
STATES = {"type": "string", "enum": ["planned", "passed", "flaky", "ticked", "unverified", "failed"]}

TOOLS = (
    Tool("list_projects", "List the projects", "GET", "projects/", PART),
    Tool("read_project", "Read a project", "GET", "projects/{slug}/", {"slug": PROJECT}),
    Tool("list_plans", "List saved plans, the newest first", "GET", "plans/", {"project": PROJECT, **PART}),
    Tool("read_plan", "Read a saved plan with its faults and review", "GET", "plans/{plan}/", {"plan": PLAN}),
    Tool(
        *("validate_plan", "Say what is wrong with a plan; nothing is saved", "POST", "plans/validate/"),
        {"text": TEXT, "project": PROJECT},
        ("text",),
        plan_text=True,
    ),
    Tool(
        *("analyze_plan", "Stages, conflicts and critical path of a plan; nothing is saved", "POST", "plans/analyze/"),
        {"text": TEXT, "project": PROJECT},
        ("text",),
        plan_text=True,
    ),
    Tool(
        *("import_plan", "Save a plan in a project", "POST", "plans/"),
        {"text": TEXT, "project": PROJECT, "file_name": _text("How it is called, such as plan.md.")},
        ("text", "project"),
        plan_text=True,
    ),
    Tool(
        *(
            "make_batch",
            "Make a batch of a saved plan and write its PRPs; execute carries it out too",
            "POST",
            "batches/",
        ),
        {"plan": PLAN, "project": PROJECT, "execute": {"type": "boolean"}, "autopilot": {"type": "boolean"}},
        ("plan",),
    ),
    Tool(
        "list_batches",
        "List batches, the newest first",
        "GET",
        "batches/",
        {"view": WORDS, "project": PROJECT, "q": _text("Words."), **PART},
    ),
    Tool(
        "read_batch", "How far a batch is: stages, phases, gates, questions, cost", "GET", "batches/{number}/", OF_BATCH
    ),
    Tool("read_batch_plan", "The plan that a batch was made of", "GET", "batches/{number}/plan/", OF_BATCH),
    Tool("read_report", "The report of a batch's last run", "GET", "batches/{number}/report/", OF_BATCH),
    Tool("list_runs", "The runs of a batch", "GET", "batches/{number}/runs/", OF_BATCH | PART),
    Tool(
        "read_run",
        "A run with its tasks",
        "GET",
        "batches/{number}/runs/{run}/",
        OF_BATCH | {"run": _number("Its number in the batch.")},
    ),
    Tool(
        "list_phases", "The phases of a batch as the plan has them", "GET", "batches/{number}/phases/", OF_BATCH | PART
    ),
    Tool("read_phase", "A phase: goal, files, steps, gates", "GET", "batches/{number}/phases/{key}/", OF_PHASE),
    Tool("list_attempts", "The attempts of a phase", "GET", "batches/{number}/phases/{key}/attempts/", OF_PHASE | PART),
    Tool(
        *(
            "read_log",
            "Lines of a phase's log: the last ones, or those behind a line",
            "GET",
            "batches/{number}/phases/{key}/log/",
        ),
        OF_PHASE
        | {
            "after": _number("The `last` of the answer before."),
            "limit": _number("The most lines."),
            "attempt": _number("An id."),
        },
    ),
    Tool(
        *("read_transcript", "What a phase's agent said and did", "GET", "batches/{number}/phases/{key}/transcript/"),
        OF_PHASE
        | {
            "cursor": _number("That of the answer before."),
            "limit": _number("The most entries."),
            "q": _text("Words."),
        },
    ),
    Tool("read_diff", "What the phases changed", "GET", "batches/{number}/diff/", OF_BATCH | {"phase": KEY}),
    Tool(
        "list_gates",
        "The gates of a batch with evidence",
        "GET",
        "batches/{number}/gates/",
        OF_BATCH | {"state": STATES, "phase": KEY},
    ),
    Tool("list_reviews", "Reviews with verdicts and findings", "GET", "batches/{number}/reviews/", OF_BATCH | PART),
    Tool("list_questions", "What agents ask people", "GET", "batches/{number}/questions/", OF_BATCH | PART),
    Tool(
        *("execute_batch", "Carry out what is left of a batch, or a part of it", "POST", "batches/{number}/execute/"),
        OF_BATCH
        | {
            "what": _text('"" is all that is left; resume, retry:KEY, stage:N, phase:KEY.'),
            "max_parallel": {"type": "integer", "minimum": 1},
            "model": _text("The model of all phases."),
            "budget_usd": {"type": "number", "exclusiveMinimum": 0},
        },
    ),
    Tool(
        *(
            "retry_phases",
            "Retry failed phases, and tell their agents something first",
            "POST",
            "batches/{number}/retry/",
        ),
        OF_BATCH | {"phases": {"type": "array", "items": KEY}, "remark": _text("What the agents are told.")},
    ),
    Tool("stop_batch", "Stop the last run of a batch", "POST", "batches/{number}/cancel/", OF_BATCH),
    Tool("stop_phase", "Stop one running phase", "POST", "batches/{number}/phases/{key}/stop/", OF_PHASE),
    Tool(
        *("answer_question", "Answer what a phase's agent asks", "POST", "batches/{number}/phases/{key}/answer/"),
        OF_PHASE | {"text": _text("The answer.")},
        ("text",),
    ),
    Tool(
        *("say", "Say something to a phase's agent", "POST", "batches/{number}/phases/{key}/say/"),
        OF_PHASE | {"text": _text("What it is told.")},
        ("text",),
    ),
    Tool(
        "review_batch",
        "Review the PRPs (before) or the code (after)",
        "POST",
        "batches/{number}/review/",
        OF_BATCH | {"moment": _text("before or after.")},
    ),
    Tool("preview_merge", "What a merge into the base branch would bring", "GET", "batches/{number}/merge/", OF_BATCH),
    Tool(
        *("read_metrics", "Figures of the history", "GET", "metrics/"),
        {
            "period": _text("7d, 30d, 90d or all."),
            "project": PROJECT,
            "operation": _text("execute, generate, review, update_context or any."),
        },
    ),
)
BY_NAME = {tool.name: tool for tool in TOOLS}

# {address: (title, path)}: what an agent may read without a tool; with names in braces, a template.
RESOURCES = {
    "ce://projects": ("The projects", "projects/"),
    "ce://batches": ("The newest batches", "batches/"),
    "ce://batches/{number}": ("How far a batch is", "batches/{number}/"),
    "ce://batches/{number}/plan": ("The plan of a batch", "batches/{number}/plan/"),
    "ce://batches/{number}/report": ("The report of a batch", "batches/{number}/report/"),
    "ce://plans/{plan}": ("A saved plan", "plans/{plan}/"),
}


def read_resource(ask: Ask, address: str) -> JsonObject:
    """What stands at this address. Raises ToolRefused."""
    for known, (_title, path) in RESOURCES.items():
        found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", known), address)
        if found is not None:
            return ask(
                "GET",
                path.format(**{name: quote(value, safe="") for name, value in found.groupdict().items()}),
                {},
                None,
            )
    raise ToolRefused(f"There is no {address}. There is: {', '.join(RESOURCES)}.")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person picks in an agent, with its arguments {name: description}."""

    title: str
    arguments: Mapping[str, str]
    text: str


PROMPTS = {
    "write_plan": Prompt(
        "Write a plan and execute it",
        {"project": "The slug of a project.", "wish": "What you want done."},
        "Write a plan in the format of CE Web for the project {project}: {wish}\n\nCheck it with validate_plan until "
        "nothing is wrong, show it to me, and after I have agreed save it with import_plan and make a batch of it with "
        "make_batch. Do not execute it before I say so.",
    ),
    "follow_batch": Prompt(
        "Say how a batch goes",
        {"number": "The number of a batch."},
        "Read batch {number} with read_batch. Say in a few sentences what is done, what runs, what failed and why, and "
        "what waits for me. If an agent asks something, show me the question, and answer it with answer_question after I "
        "have told you what.",
    ),
    "repair_batch": Prompt(
        "Find out why a batch failed",
        {"number": "The number of a batch."},
        "Find out why batch {number} failed: read_batch, list_gates with state failed, read_log and read_diff of the "
        "failed phases. Say the cause of each, then propose a remark for its agent. Retry with retry_phases and that "
        "remark after I have agreed.",
    ),
}
