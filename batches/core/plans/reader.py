"""Read a plan as people write it into phases, with every issue and its line (docs/plan-format.md).

Start with `read_plan`. The modules behind it: source (bytes to safe text), front_matter, blocks (markdown), sections
(phases and the fields written in them), labels, values, files and dependencies (the meaning of the fields), phases (all
together), json_plan (JSON input), formats (other tools' documents), other_markup
(org-mode and reStructuredText), fill_in (places that a person has to fill in), accounting
(what each line was read as), render (phases back to markdown).
"""

from dataclasses import replace

from batches.core.plans.called_off import called_off, marked_steps
from batches.core.plans.fill_in import places_to_fill_in, without_lines_of
from batches.core.plans.formats import detect
from batches.core.plans.json_plan import read_json_plan
from batches.core.plans.other_markup import in_markdown
from batches.core.plans.phases import build_plan
from batches.core.plans.render import render_plan
from batches.core.plans.source import MAX_PLAN_BYTES, looks_like_json, read_source
from batches.core.plans.types import (
    GateText,
    IssueCode,
    PhaseSpec,
    PlanInvalid,
    PlanIssue,
    PlanReading,
    PlanSpec,
    ReadFormat,
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
    "ReadFormat",
    "Repair",
    "StepSpec",
    "apply_repair",
    "parse_plan",
    "read_plan",
    "render_plan",
]


def read_plan(source: str | bytes, max_bytes: int = MAX_PLAN_BYTES) -> PlanReading:
    """Read a plan in markdown or JSON, with all its issues in line order. No content makes it raise."""
    decoded = read_source(source, max_bytes)
    if not decoded.text:
        return PlanReading(PlanSpec(""), decoded.errors, decoded.warnings)
    read, text = detect(decoded.text), decoded.text
    if read is None and not looks_like_json(text):
        text = in_markdown(text) or text
        read = detect(text) if text is not decoded.text else None
    reading = (read or (read_json_plan if looks_like_json(text) else build_plan))(text)
    places = places_to_fill_in(decoded.text)
    errors = (*decoded.errors, *places, *without_lines_of(reading.errors, places))
    not_to_do = (*called_off(text, reading.plan.phases), *marked_steps(text, reading.plan.phases))
    warnings = (*decoded.warnings, *not_to_do, *without_lines_of(reading.warnings, places))
    return replace(
        reading,
        errors=tuple(sorted(errors, key=lambda issue: issue.line)),
        warnings=tuple(sorted(warnings, key=lambda issue: issue.line)),
    )


def parse_plan(source: str | bytes) -> PlanSpec:
    """The plan. Raises PlanInvalid with all errors if there are any."""
    reading = read_plan(source)
    if reading.errors:
        raise PlanInvalid(reading.errors)
    return reading.plan
