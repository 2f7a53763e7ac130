"""Plans as people write them, read into phases with every fault and its line (framework.md §4).

`read_plan` is the door; what it is made of: plan_source (bytes to safe text), plan_front_matter, plan_markdown (blocks),
plan_sections (phases and the fields written in them), plan_labels, plan_values, plan_files and plan_dependencies (what the
words mean), plan_json (the other input), plan_render (the way back).
"""

from batches.core.plans.json_plan import looks_like_json, read_json_plan
from batches.core.plans.phases import build_plan
from batches.core.plans.render import render_plan
from batches.core.plans.source import MAX_PLAN_BYTES, read_source
from batches.core.plans.types import (
    GateText,
    IssueCode,
    PhaseSpec,
    PlanInvalid,
    PlanIssue,
    PlanReading,
    PlanSpec,
    Repair,
    StepSpec,
    apply_repair,
)

__all__ = [
    "GateText",
    "IssueCode",
    "PhaseSpec",
    "PlanInvalid",
    "PlanIssue",
    "PlanReading",
    "PlanSpec",
    "Repair",
    "StepSpec",
    "apply_repair",
    "parse_plan",
    "read_plan",
    "render_plan",
]


def read_plan(source: str | bytes, max_bytes: int = MAX_PLAN_BYTES) -> PlanReading:
    """Everything that can be read of a plan, markdown or JSON, with all its faults in line order. Never raises for content."""
    text = read_source(source, max_bytes)
    if not text.text:
        return PlanReading(PlanSpec(""), text.errors, text.warnings)
    reading = read_json_plan(text.text) if looks_like_json(text.text) else build_plan(text.text)
    return PlanReading(
        reading.plan,
        tuple(sorted((*text.errors, *reading.errors), key=lambda issue: issue.line)),
        tuple(sorted((*text.warnings, *reading.warnings), key=lambda issue: issue.line)),
    )


def parse_plan(source: str | bytes) -> PlanSpec:
    """The plan. Raises PlanInvalid with every error when it has any."""
    reading = read_plan(source)
    if reading.errors:
        raise PlanInvalid(reading.errors)
    return reading.plan
