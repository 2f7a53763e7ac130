"""GSD (“get shit done”): `ROADMAP.md` with phase details, and one `PLAN.md` with tasks as tags."""

import re
from collections.abc import Iterator

from batches.core.plans.formats.document import Document, Section, one_line, phase_of
from batches.core.plans.formats.draft import Draft, DraftPhase, DraftStep
from batches.core.plans.formats.roles import PhaseReader, Role
from batches.core.plans.types import GateText, IssueCode, PlanReading
from batches.core.plans.unread import ReadAs, UnreadKind

NAME = "GSD"
SIGN = re.compile(r"what must be TRUE|^<task\b|^\*\*Plans?(?::\*\*|\*\*:)", re.MULTILINE)
_PLAN = re.compile(r"^\[?(?P<id>\d+(?:\.\d+)?-\d+)(?:-PLAN\.md)?\]?(?:\([^)]*\))?\s*(?:[:\u2013\u2014-]\s*)?(?P<text>.*)$", re.DOTALL)
_SUMMARY = re.compile(r"^\**Phase\s+(?P<key>\d+(?:\.\d+)*)\s*[:\u2013\u2014-]", re.IGNORECASE)
_SHIPPED = re.compile(r"\u2705|\bshipped\b", re.IGNORECASE)
_MILESTONE = re.compile(r"\bPhases?\s+(?P<first>\d+)(?:\.\d+)?(?:\s*[-\u2013]\s*(?P<last>\d+))?", re.IGNORECASE)
_SUMMARY_LINE = re.compile(r"\s*<summary>")
_TASK = re.compile(r"<task\b(?P<attributes>[^<>]{0,500})>")
_UNPLANNED = re.compile(r"^(?:tbd|to be (?:determined|planned)|not (?:yet )?planned)\b", re.IGNORECASE)
_ROLES = {
    "success criteria": Role.GATES,
    "plans": Role.STEPS,
    "plan": Role.STEPS,
    "requirements": Role.NOTES,
    "research": Role.NOTES,
    "ui hint": Role.NOTES,
    "canonical refs": Role.NOTES,
    "mode": Role.NOTES,
}


def recognise(document: Document) -> bool:
    """Whether it is a roadmap with success criteria and plans, or a plan of tasks as tags."""
    return _is_plan(document) or bool(_details(document))


def read(document: Document) -> PlanReading:
    """The plan: a phase for each phase in the details of the roadmap; a PLAN.md is one phase, and its tasks are the steps."""
    return _read_plan(document) if _is_plan(document) else _read_roadmap(document)


def _details(document: Document) -> list[Section]:
    found = []
    for section in document.sections:
        if phase_of(section.title):
            text = document.text_between(section.line, section.end_line)
            if re.search(r"\*\*(?:Success Criteria|Plans|Requirements)\b", text) and re.search(r"\*\*Goal\b", text):
                found.append(section)
    return found


def _read_roadmap(document: Document) -> PlanReading:
    draft = Draft(document, NAME, tasks="plan")
    done = _summary(draft, {heading.key for section in _details(document) if (heading := phase_of(section.title))})
    finished = {key for key, ticked in done.items() if ticked}
    for section in _details(document):
        heading = phase_of(section.title)
        if heading is None:
            continue
        phase = draft.phase(heading.key, heading.title, section.line, section.end_line)
        PhaseReader(draft, phase, _ROLES).read(section)
        _plans(draft, phase)
        if done.get(phase.key):
            phase.steps = [DraftStep(step.text, step.line, True) for step in phase.steps]
            phase.gates = [GateText(gate.text, True, gate.line) for gate in phase.gates]
    keys = {phase.key for phase in draft.phases}
    kept: list[tuple[DraftPhase, str, int]] = []
    for phase, value, line in draft.waiting:
        outside = {key for key in re.findall(r"\d+(?:\.\d+)*", re.sub(r"\([^()]*\)", "", value)) if key not in keys}
        if outside and outside <= finished:  # phases of an earlier milestone, done and archived
            value = (
                ", ".join(f"Phase {key}" for key in re.findall(r"\d+(?:\.\d+)*", re.sub(r"\([^()]*\)", "", value)) if key in keys) or "None"
            )
        kept.append((phase, value, line))
    draft.waiting = kept
    if kept:
        draft.order = "order from “Depends on”"
    return draft.finish()


def _summary(draft: Draft, detailed: set[str]) -> dict[str, bool]:
    """The list of phases above the details: which are ticked. It says again what the details say of those that are `detailed`."""
    done: dict[str, bool] = {}
    inside = [(section.line, section.end_line) for section in _details(draft.document)]
    for section in (draft.document.root, *draft.document.sections):
        if any(first <= section.line <= last for first, last in inside):
            continue
        for item in draft.document.items_in(section):
            named = _SUMMARY.match(item.text)
            shipped = not item.has_box and (_SHIPPED.search(item.text) and _MILESTONE.search(item.text))
            if shipped:  # “✅ v1.0 MVP - Phases 1-3 (shipped …)”
                first, last = int(shipped["first"]), int(shipped["last"] or shipped["first"])
                done.update({str(key): True for key in range(first, min(last, first + 500) + 1)})
                draft.account.mark(ReadAs.MENTION, item.line, item.end_line)
            elif item.has_box and named:
                done[named["key"]] = item.done
                if named["key"] in detailed:
                    draft.account.mark(ReadAs.MENTION, item.line, item.end_line)
                else:
                    why = "Of this phase there are no details here" + (", and it is done." if item.done else ", so it is not read as one.")
                    draft.account.because(item.line, why)
            elif item.has_box and (ranged := re.match(r"\**Phases?\s+(\d+)\s*[-\u2013]\s*(\d+)", item.text)):
                done.update({str(key): item.done for key in range(int(ranged[1]), min(int(ranged[2]), int(ranged[1]) + 500) + 1)})
                draft.account.mark(ReadAs.MENTION, item.line, item.end_line)
    for at, line in enumerate(draft.document.lines, start=1):
        folded_away = _SUMMARY_LINE.match(line)  # “<summary>✅ v1.0 MVP (Phases 1-4) — SHIPPED …</summary>”
        if folded_away and _SHIPPED.search(line) and (named := _MILESTONE.search(line)):
            first, last = int(named["first"]), int(named["last"] or named["first"])
            done.update({str(key): True for key in range(first, min(last, first + 500) + 1)})
            draft.account.mark(ReadAs.MENTION, at)
    return done


def _plans(draft: Draft, phase: DraftPhase) -> None:
    """The steps are the plans of the phase. Those that are not written yet leave its goal as the one step."""
    kept: list[DraftStep] = []
    for step in phase.steps:
        named = _PLAN.match(step.text)
        text = named["text"].strip() if named else step.text
        if re.fullmatch(r"\d+ plans?.*", text) and not named:
            draft.account.mark(ReadAs.MENTION, step.line)  # the plans themselves stand below
        elif _UNPLANNED.match(text):
            draft.account.unread(step.line, step.line, UnreadKind.CHECK_BOX if named else UnreadKind.LABEL, "This plan is not written yet.")
        else:
            kept.append(DraftStep(f"{named['id']}: {text}" if named and text else step.text, step.line, step.done))
    if not kept and phase.goal:
        kept.append(DraftStep(f"Reach the goal: {' '.join(phase.goal.split())}", phase.line))
    phase.steps = kept


def _is_plan(document: Document) -> bool:
    named = bool({"plan", "files_modified", "must_haves"} & document.meta.keys()) or "<objective>" in document.text
    return named and bool(re.search(r"^<tasks?\b", document.text, re.MULTILINE))


def _element(text: str, name: str) -> str:
    opened = re.search(rf"<{name}\b[^<>]{{0,500}}>", text)
    end = text.find(f"</{name}>", opened.end()) if opened else -1
    return text[opened.end() : end].strip() if opened and end >= 0 else ""


def _read_plan(document: Document) -> PlanReading:
    text = document.text
    objective = _element(text, "objective")
    meta = document.meta
    name = f"{meta.get('phase', '')} {meta.get('plan', '')}".strip()
    draft = Draft(document, NAME, title=document.title or (f"GSD plan {name}" if name else "GSD plan"), tasks="task", order="one plan")
    key = re.sub(r"^(\d+(?:\.\d+)?).*$", r"\1", str(meta.get("phase", "")))
    title = objective.split("\n")[0].rstrip(".") or name or document.title
    phase = draft.phase(f"{key}-{meta.get('plan', '1')}" if key else "1", title, 1, len(document.lines))
    phase.line, phase.goal = document.body + 1, objective
    files = meta.get("files_modified")
    for path in files if isinstance(files, list) else ():
        draft.files(phase, str(path), 1, inline=False)
    if document.body:
        draft.account.mark(ReadAs.FRONT_MATTER, 1, document.body)
    for start, attributes, body in _tasks(text):
        _task(draft, phase, start, attributes, body)
    for part in ("verification", "success_criteria"):
        opened = re.search(rf"^<{part}>[ \t]*\n", text, re.MULTILINE)
        end = text.find(f"</{part}>", opened.end()) if opened else -1
        if opened and end >= 0:
            first = text.count("\n", 0, opened.end()) + 1
            for at, line in enumerate(text[opened.end() : end].split("\n")):
                item = re.match(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[(?P<mark>[ xX])\]\s+)?(?P<text>.+)$", line)
                if item and not re.fullmatch(r"all (?:tasks completed|verification checks pass)\.?", item["text"], re.IGNORECASE):
                    phase.add_gate(item["text"], first + at, (item["mark"] or " ") in "xX")
                if line.strip():
                    draft.account.mark(ReadAs.GATE, first + at)
    must = meta.get("must_haves")
    for truth in (must.get("truths") or ()) if isinstance(must, dict) else ():
        phase.add_gate(str(truth), 1)
    waits = meta.get("depends_on")
    if waits:
        others = ", ".join(map(str, waits)) if isinstance(waits, list) else str(waits)
        message = f"This plan waits for {others}, which is another file. Carry that out first."
        draft.issues.warning(1, IssueCode.UNKNOWN_FIELD, message, field="depends_on", phase=phase.key)
    phase.dependencies = []
    return draft.finish()


def _tasks(text: str) -> Iterator[tuple[int, str, str]]:
    """Where each <task> starts, its attributes, and what it holds. One that is never closed ends the search."""
    at = 0
    while (opened := _TASK.search(text, at)) and (end := text.find("</task>", opened.end())) >= 0:
        yield opened.start(), opened["attributes"], text[opened.end() : end]
        at = end


def _task(draft: Draft, phase: DraftPhase, start: int, attributes: str, body: str) -> None:
    line = draft.document.text.count("\n", 0, start) + 1
    end = line + body.count("\n")
    if "checkpoint" in attributes:
        parts = [_element(body, name) for name in ("what-built", "decision", "action", "how-to-verify", "instructions", "context")]
        phase.add_gate("Manual: " + " ".join(" ".join(filter(None, parts)).split()), line)
        draft.account.mark(ReadAs.GATE, line, end)
        return
    name = re.sub(r"^Task\s+\d+[a-z]?\s*:\s*", "", one_line(_element(body, "name")), flags=re.IGNORECASE)
    phase.add_step("\n".join(filter(None, (name, _element(body, "action") or _element(body, "behavior")))), line)
    draft.account.mark(ReadAs.STEP, line, end)
    for path in re.split(r",\s*|\n", _element(body, "files")):
        if path.strip():
            draft.files(phase, path.strip(), line, inline=False)
            draft.account.mark(ReadAs.STEP, line)
    for check in (_element(body, "verify"), _element(body, "done")):
        check = re.sub(r"</?(?:automated|manual)>", "", check)
        phase.add_gate(" ".join(check.split()), line)
