"""The report of a review as markdown: PRPs/reviews/batch-44-review.md."""

from collections.abc import Sequence
from dataclasses import dataclass

from batches.core.review.risk import Risk
from batches.core.review.types import ReviewFinding, ReviewTiming, Verdict
from batches.core.text.markdown import inline, table_row

FOLDER = "PRPs/reviews"

WORDS = {
    Verdict.APPROVED: "Approved",
    Verdict.WARNINGS: "Approved with warnings",
    Verdict.REVISION: "Needs revision",
    Verdict.REJECTED: "Rejected",
}


@dataclass(frozen=True, slots=True)
class ReportSection:
    """One PRP in the report. Drift and lines are None before execution, or when unknown."""

    prp_id: str
    title: str
    risk: Risk
    verdict: Verdict
    findings: tuple[ReviewFinding, ...]
    state: str = ""
    drift: int | None = None
    lines_added: int | None = None
    lines_removed: int | None = None


def report_path(batch: int) -> str:
    """The report's path in the repository. A later review replaces the file; git keeps the earlier text."""
    return f"{FOLDER}/batch-{batch}-review.md"


def render_report(
    *,
    batch: int,
    title: str,
    run: int,
    moment: ReviewTiming,
    verdict: Verdict,
    parts: Sequence[ReportSection],
    findings: Sequence[ReviewFinding],
    semantic: str,
) -> str:
    """The report as markdown. `findings` are those about the batch as a whole."""
    subject = "the PRPs, before execution" if moment is ReviewTiming.BEFORE else "the code that came out"
    lines = [
        f"# Review of batch {batch}: {inline(title)}",
        "",
        f"**Verdict**: {WORDS[verdict]}",
        f"**Judged**: {subject} (run {run})",
        f"**Semantic review**: {semantic}",
        "",
        "## PRPs",
        "",
    ]
    if moment is ReviewTiming.BEFORE:
        lines += ["| PRP | Title | Risk | Verdict |", "|---|---|---|---|"]
        lines += [table_row(part.prp_id, part.title, _risk(part.risk), WORDS[part.verdict]) for part in parts]
    else:
        lines += ["| PRP | Title | State | Drift | Diff | Risk | Verdict |", "|---|---|---|---|---|---|---|"]
        for part in parts:
            outcome = (part.state or "not run", _percent(part.drift), _size(part))
            lines.append(table_row(part.prp_id, part.title, *outcome, _risk(part.risk), WORDS[part.verdict]))
    lines += ["", "## Batch", "", *_finding_lines(findings)]
    for part in parts:
        lines += ["", f"## {part.prp_id}: {inline(part.title)}", "", *_finding_lines(part.findings)]
    return "\n".join(lines) + "\n"


def _finding_lines(findings: Sequence[ReviewFinding]) -> list[str]:
    if not findings:
        return ["No findings."]
    rows = []
    for finding in findings:
        rows.append(f"- **{finding.severity}** ({finding.category}) {inline(finding.place)}: {inline(finding.message)}")
        if finding.suggestion:
            rows.append(f"  - Suggestion: {inline(finding.suggestion)}")
    return rows


def _risk(risk: Risk) -> str:
    return f"{risk.shown} ({risk.band})"


def _percent(value: int | None) -> str:
    return "—" if value is None else f"{value} %"


def _size(part: ReportSection) -> str:
    return "—" if part.lines_added is None or part.lines_removed is None else f"+{part.lines_added} −{part.lines_removed}"
