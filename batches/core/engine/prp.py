"""PRP documents, one per phase: their ids, file names and markdown text."""

import json
import re
import unicodedata
from dataclasses import dataclass

from batches.core.text.words import counted

FOLDER = "PRPs/feature-requests"
SLUG_LENGTH = 50
FENCE = "```"

RISK_MITIGATION = {
    "low": ("Keep the change within the files named above.", "Run the gates before and after."),
    "medium": (
        "Keep the change within the files named above; say so in the commit when another one must change.",
        "Commit after each step, so that a wrong turn can be undone without losing the rest.",
        "Run the gates after each step that changes behaviour.",
    ),
    "high": (
        "Read every file named above, and what calls it, before the first edit.",
        "Commit after each step; a step that fails its checks is undone, not patched over.",
        "Run the whole test suite after each step, not only the tests of this phase.",
        "Leave public interfaces as they are unless a step says otherwise; name each exception in the commit.",
        "Ask for a review of the diff before it is merged into the base branch.",
    ),
}


@dataclass(frozen=True, slots=True)
class PrpStep:
    number: int
    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prp:
    """The content of a PRP document. `hours` is None when the plan gives none."""

    prp_id: str
    title: str
    batch: int
    stage: int
    order: int
    phase: str
    plan: str
    goal: str
    complexity: str
    hours: float | None
    files: tuple[str, ...]
    dependencies: tuple[str, ...]  # PRP ids
    steps: tuple[PrpStep, ...]
    gates: tuple[str, ...]
    status: str = "new"
    created: str = ""  # ISO 8601 date
    extra: tuple[tuple[str, str], ...] = ()  # more front matter, such as the URL of the Linear issue

    @property
    def path(self) -> str:
        """The document's path in the repository."""
        return f"{FOLDER}/{self.prp_id}-{slug(self.title)}.md"


def prp_id(batch: int, stage: int, order: int) -> str:
    """PRP-{batch}.{stage}.{order}; order counts from 1 within the stage, in document order."""
    return f"PRP-{batch}.{stage}.{order}"


def slug(title: str) -> str:
    """The title as part of a file name: lower case ASCII words joined by dashes, 1 to 50 characters."""
    ascii_text = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")
    return words[:SLUG_LENGTH].rstrip("-") or "phase"


def render_prp(prp: Prp) -> str:
    """The document as markdown. The values of its YAML front matter are JSON, which every YAML parser can read."""
    front: dict[str, object] = {
        "prp_id": prp.prp_id,
        "title": prp.title,
        "status": prp.status,
        "created": prp.created,
        "batch": prp.batch,
        "stage": prp.stage,
        "order": prp.order,
        "phase": prp.phase,
        "plan": prp.plan,
        "complexity": prp.complexity,
        "hours": prp.hours,
        "dependencies": list(prp.dependencies),
        "files": list(prp.files),
        **dict(prp.extra),
    }
    lines = ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in front.items()), "---", ""]
    lines += [f"# {prp.prp_id}: {_one_line(prp.title)}", "", "## Problem", "", *_quoted(prp.goal or "The plan gives no goal."), ""]
    lines += ["## Solution", "", _solution_text(prp), "", "## Steps", ""]
    for step in prp.steps:
        lines += _step_lines(step)
    if not prp.steps:
        lines += ["The plan names no steps; the gates decide.", ""]
    lines += ["## Validation Gates", ""]
    lines += [f"- [ ] {_one_line(gate)}" for gate in prp.gates] or ["The plan names no gates."]
    lines += ["", "## Testing Strategy", "", _testing_text(prp), "", "## Risk Mitigation", ""]
    lines += [f"- {rule}" for rule in RISK_MITIGATION.get(prp.complexity, RISK_MITIGATION["medium"])]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> list[str]:
    """The text as a block quote, so that nothing in it becomes a heading of the document."""
    return [f"> {line}".rstrip() for line in text.split("\n")]


def _solution_text(prp: Prp) -> str:
    files = ", ".join(f"`{name}`" for name in prp.files) or "no file that the plan names"
    after = f" It builds on {', '.join(prp.dependencies)}." if prp.dependencies else ""
    return f"Carry out the {counted(len(prp.steps), 'step')} below; they change {files}.{after}"


def _testing_text(prp: Prp) -> str:
    tests = [name for name in prp.files if "test" in name.lower()]
    if tests:
        return f"The tests in {', '.join(f'`{name}`' for name in tests)} cover this phase; each gate above is run by the server."
    return "No test file is among the files of this phase; each gate above is run by the server."


def _step_lines(step: PrpStep) -> list[str]:
    lines = [f"### Step {step.number}", "", *_quoted(step.text), ""]
    for command in step.commands:
        fence = FENCE
        while fence in command:
            fence += "`"
        lines += [f"{fence}bash", *command.split("\n"), fence, ""]
    return lines
