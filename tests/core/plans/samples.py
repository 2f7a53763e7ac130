"""The smallest plans that a test of the reader needs."""

from batches.core.plans.reader import PlanReading, read_plan

FIELDS = {
    "Goal": "Do it",
    "Estimated Hours": "2",
    "Complexity": "low",
    "Files Modified": "src/a.py",
    "Dependencies": "None",
}
LISTS = "\n\n**Implementation Steps**:\n1. Write it\n\n**Validation Gates**:\n- [ ] It works\n"


def phase(key: str = "1", *, title: str = "Work", lists: str = LISTS, **changes: str | None) -> str:
    """A phase in the framework's format; a field given as None is left out, underscores stand for blanks."""
    fields = {**FIELDS, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = [f"**{name}**: {value}".rstrip() for name, value in fields.items() if value is not None]
    return f"### Phase {key}: {title}\n\n" + "\n".join(lines) + lists


def plan(*phases: str, title: str = "# Plan") -> str:
    return f"{title}\n\n" + "\n".join(phases or (phase(),))


def one(body: str) -> PlanReading:
    """The reading of a plan with one phase whose section is `body`, below its heading."""
    return read_plan(f"# Plan\n\n### Phase 1: Work\n\n{body}\n")


def codes(reading: PlanReading) -> list[tuple[int, str]]:
    return [(issue.line, issue.code.value) for issue in (*reading.errors, *reading.warnings)]


def linked(spec: str) -> str:
    """A plan from “1; 2a < 1; 3 < 2a 2b”: phases and what they depend on, each with a file of its own."""
    parts = []
    for one_phase in spec.split(";"):
        key, _, dependencies = (part.strip() for part in one_phase.partition("<"))
        named = ", ".join(f"Phase {dependency}" for dependency in dependencies.split()) or "None"
        parts.append(phase(key, Files_Modified=f"src/{key}.py", Dependencies=named))
    return plan(*parts)
