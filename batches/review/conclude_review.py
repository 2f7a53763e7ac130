"""Conclude a review run: write verdict and findings to rows, and commit the report to the batch branch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from batches.core.engine.states import Operation, RunState
from batches.core.gates.ledger import GateState, Opinion
from batches.core.review.outcome_review import review_looks, review_other_gates
from batches.core.review.prp_review import review_batch
from batches.core.review.report import WORDS, ReportSection, render_report, report_path
from batches.core.review.risk import risk_of
from batches.core.review.types import PhaseFacts, ReviewFinding, ReviewTiming, Severity, Verdict, judge
from batches.core.text.words import counted
from batches.gates.ledger import read_ledger
from batches.metrics.successes import successes_of_phases
from batches.models import Batch, Finding, GateOpinion, Phase, Result, Review, Run
from batches.repositories.repository import repository_of
from batches.review.phase_facts import Conclusion, Done, conflicts_of, done_of_phases, facts_of, longest_chain
from subagents.contract import SubagentError
from subagents.documents import commit_documents
from subagents.machine_faults import fault_of

Report = dict[str, Any]  # what a reviewer's process wrote, as JSON

NO_REVIEWER = "not judged: the reviewer said nothing"


def conclude_review(run: Run) -> Conclusion | None:
    """Conclude the review of a run that succeeded; None for any other run. Safe to repeat: verdict and findings are written once."""
    if run.operation != Operation.REVIEW or run.state != RunState.SUCCEEDED:
        return None
    review = Review.objects.get(run=run)
    if not review.verdict:
        _judge(run, review)
    return Conclusion({"review": _result_of(review)}, _report_of(review))


def _judge(run: Run, review: Review) -> None:
    batch = run.batch
    phases = list(batch.phases.select_related("stage").prefetch_related("gates"))
    facts = {phase.key: facts_of(phase) for phase in phases}
    moment = ReviewTiming(review.moment)
    reports = _reports(run)
    done = done_of_phases(phases) if moment is ReviewTiming.AFTER else {}
    parts = [_part(phase, facts[phase.key], done.get(phase.pk), reports.get(phase.pk, {})) for phase in phases]
    if moment is ReviewTiming.BEFORE:
        batch_findings = review_batch(list(facts.values()), conflicts_of(batch), longest_chain(facts))
    else:
        gates = review_other_gates(other_gates(batch, {phase.key: phase.prp_id for phase in phases}))
        batch_findings = (*gates, *review_looks(_looks(phases, done)))
    verdict = judge([*batch_findings, *(finding for part in parts for finding in part.findings)])
    notes = dict.fromkeys(str(report.get("semantic", {}).get("note", NO_REVIEWER)) for report in reports.values())
    semantic = "; ".join(notes) or NO_REVIEWER
    path = report_path(batch.number)
    text = render_report(
        batch=batch.number,
        title=batch.title,
        run=run.number,
        moment=moment,
        verdict=verdict,
        parts=parts,
        findings=batch_findings,
        semantic=semantic,
    )
    written = {"path": path, "text": text, **_write(run, path, text)}
    scores = [_score(phase, part) for phase, part in zip(phases, parts, strict=True)]
    rows: list[tuple[Phase | None, ReviewFinding]] = [(None, finding) for finding in batch_findings]
    rows += [(phase, finding) for phase, part in zip(phases, parts, strict=True) for finding in part.findings]
    with transaction.atomic():
        changed = Review.objects.filter(pk=review.pk, verdict="").update(verdict=verdict, semantic=semantic, scores=scores, **written)
        if changed:
            Finding.objects.bulk_create(_row(review, place, phase, finding) for place, (phase, finding) in enumerate(rows, start=1))
            if moment is ReviewTiming.AFTER:
                GateOpinion.objects.bulk_create(_opinions(review, {phase.key: reports.get(phase.pk, {}) for phase in phases}))
    review.refresh_from_db()


def other_gates(batch: Batch, prp_ids: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield (place, gate, state) for every judged project gate and standard gate."""
    for entry in read_ledger(batch):
        if entry.gate is None and entry.last is not None:
            place = prp_ids.get(entry.phase, entry.phase) if entry.phase else f"stage {entry.stage}"
            yield f"{place}, {entry.origin} gate", entry.text, entry.state


def _looks(phases: Sequence[Phase], done: Mapping[int, Done]) -> Iterator[tuple[str, str, bool, str]]:
    """(place, what, declared, who accepted it) of all that a person should look at in the phases that succeeded."""
    batch = phases[0].batch_id if phases else 0
    successes = successes_of_phases([batch]).get(batch, {})
    for phase in phases:
        attempt = done[phase.pk].attempt if phase.pk in successes else None
        for look in attempt.result.looks if attempt is not None else ():
            yield f"{phase.prp_id}, {look['path']}", look["text"], look["declared"], successes[phase.pk].accepted_by


def _reports(run: Run) -> dict[int | None, Report]:
    """{phase: the report of its reviewer}."""
    results = Result.objects.filter(attempt__task__run=run, attempt__outcome="succeeded").values_list("attempt__task__phase_id", "data")
    return {phase_id: data.get("report") or {} for phase_id, data in results}


def _opinions(review: Review, reports: Mapping[str, Report]) -> list[GateOpinion]:
    """What the reviewers say about each gate that is not automatically checkable; "not judged" without an opinion that counts.

    An opinion counts only from a model and with evidence. It never changes how a gate was judged.
    """
    model_rows = review.run.tasks.filter(attempts__outcome="succeeded").values_list("phase__key", "attempts__model")
    models = {key: model or review.run.backend for key, model in model_rows}
    opinions = []
    for entry in read_ledger(review.run.batch):
        if entry.gate is None or entry.in_phase is None or entry.last is None or entry.last.state != GateState.UNVERIFIED:
            continue
        semantic = reports.get(entry.phase, {}).get("semantic") or {}
        said: Report = next((item for item in semantic.get("opinions") or () if item.get("gate") == entry.position), {})
        opinion, evidence = str(said.get("opinion", "")), str(said.get("evidence", "")).strip()
        counts = opinion in (Opinion.HOLDS, Opinion.DOES_NOT_HOLD) and evidence and semantic.get("judged") is True
        otherwise = "no opinion with evidence was given" if semantic.get("judged") else str(semantic.get("note", NO_REVIEWER))
        opinions.append(
            GateOpinion(
                gate_id=entry.gate,
                attempt_id=entry.in_phase.attempt,
                review=review,
                opinion=opinion if counts else Opinion.NOT_JUDGED,
                evidence=evidence or otherwise,
                model=models.get(entry.phase, review.run.backend)[:80] if counts else "",
            )
        )
    return opinions


def _part(phase: Phase, facts: PhaseFacts, done: Done | None, report: Report) -> ReportSection:
    findings = tuple(_found(item) for item in report.get("findings", ()))
    common = (phase.prp_id, phase.title, risk_of(facts), judge(findings), findings)
    if done is None:
        return ReportSection(*common)
    outcome = done.outcome
    drift = outcome.drift.shown if outcome.drift else None
    return ReportSection(*common, state=outcome.state, drift=drift, lines_added=outcome.lines_added, lines_removed=outcome.lines_removed)


def _found(item: dict[str, object]) -> ReviewFinding:
    """A finding as the reviewer's process wrote it; an unknown severity counts as major, so that no finding is lost."""
    severity = str(item.get("severity", ""))
    texts = [str(item.get(name, "")) for name in ("category", "place", "message", "suggestion")]
    return ReviewFinding(Severity(severity) if severity in set(Severity) else Severity.MAJOR, *texts)


def _write(run: Run, path: str, text: str) -> dict[str, str]:
    """Commit the report to the batch branch. Returns the review's columns: the commit, or what went wrong.

    Raises SubagentError, OSError for a fault of the machine: it is repeated once that has passed.
    """
    message = f"PRP-{run.batch.number}: Review - {run.batch.title}\n"
    scratch = str(Path(settings.CE_DATA_DIR) / "documents")
    try:
        repository = repository_of(run.batch)
        commit = commit_documents(repository, run.batch.branch, {path: text.encode("utf-8", "replace")}, message, scratch)
    except (SubagentError, OSError) as problem:
        if fault_of(problem) is not None:
            raise
        return {"commit": "", "problem": f"The report could not be committed to {run.batch.branch}: {problem}"}
    return {"commit": commit or "", "problem": ""}


def _score(phase: Phase, part: ReportSection) -> dict[str, object]:
    return {
        "phase": phase.key,
        "prp_id": part.prp_id,
        "title": part.title,
        "score": part.risk.shown,
        "band": str(part.risk.band),
        "verdict": str(part.verdict),
        "state": part.state,
        "drift": part.drift,
        "lines_added": part.lines_added,
        "lines_removed": part.lines_removed,
        "findings": len(part.findings),
    }


def _row(review: Review, position: int, phase: Phase | None, finding: ReviewFinding) -> Finding:
    return Finding(
        review=review,
        phase=phase,
        position=position,
        severity=finding.severity,
        category=finding.category[:40],
        place=finding.place[:1000],
        message=finding.message,
        suggestion=finding.suggestion,
    )


def _result_of(review: Review) -> dict[str, object]:
    findings: Sequence[Finding] = list(review.findings.select_related("phase"))
    return {
        "moment": review.moment,
        "verdict": review.verdict,
        "semantic": review.semantic,
        "report": review.path,
        "commit": review.commit or None,
        "prps": review.scores,
        "findings": [
            {
                "phase": finding.phase.key if finding.phase else None,
                "severity": finding.severity,
                "category": finding.category,
                "place": finding.place,
                "message": finding.message,
                "suggestion": finding.suggestion,
            }
            for finding in findings
        ],
    }


def _report_of(review: Review) -> str:
    lines = [f"Verdict: {WORDS[Verdict(review.verdict)]}", f"Semantic review: {review.semantic}"]
    for score in review.scores:
        found = counted(score["findings"], "finding")
        lines.append(f"  {score['prp_id']} risk {score['score']} ({score['band']}), {found}")
    for finding in review.findings.all():
        lines.append(f"  {finding.severity}: {finding.place}: {finding.message}")
    lines.append(review.problem or f"Report: {review.path} on {review.run.batch.branch}")
    return "\n".join(lines)
