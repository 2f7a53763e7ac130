"""Ralph: `prd.json` and the PRD it is made from (user stories with acceptance criteria), and fix plans by priority."""

import json
import re
from typing import Any

from batches.core.plans.formats.document import Document, Section, folded, label_of, one_line, phase_of
from batches.core.plans.formats.draft import Draft, DraftPhase
from batches.core.plans.formats.plan_json import JsonDraft, load, objects_in, text_of
from batches.core.plans.formats.roles import PhaseReader, Role
from batches.core.plans.types import IssueCode, PlanReading
from batches.core.plans.unread import ReadAs, UnreadKind

NAME = "Ralph"
SIGN = re.compile(
    r'"(?:userStories|acceptanceCriteria|user_stories|stories|passes)"\s*:'
    r"|^#{2,4} (?:\[[ xX]\] )?\**(?:US|FR|Story)[- ]?\d+|^## .*\bPriority\b",
    re.MULTILINE | re.IGNORECASE,
)
_STORY = re.compile(r"^(?:\[[ xX]\]\s+)?\**(?P<key>US-?\d+[a-z]?)\**\s*(?:[:.\u2013\u2014]|-(?=\s))\s*(?P<title>.*)$", re.IGNORECASE)
_PRIORITY = re.compile(r"^(?:high|medium|low|critical|urgent|normal|p[0-4])(?:est)?\b.*$|.*\bpriority\b", re.IGNORECASE)
_RECORD = re.compile(r"^(?:completed|done|finished|discovered|notes|summary)\b", re.IGNORECASE)
_ITEM_TASK = re.compile(r"^\**Task\s+\d+[a-z]?\s*[:.\u2013-]\s*", re.IGNORECASE)
_LISTS = ("userStories", "user_stories", "stories", "features", "items", "tasks", "prd")
_CRITERIA = ("acceptanceCriteria", "acceptance_criteria", "acceptance", "steps")
_RANKS = {
    word: rank
    for rank, words in enumerate(("p0 critical highest urgent", "p1 high", "p2 medium normal", "p3 low", "p4 lowest"))
    for word in words.split()
}
_KNOWN = frozenset(
    {
        "id",
        "title",
        "description",
        "acceptanceCriteria",
        "acceptance_criteria",
        "acceptance",
        "priority",
        "passes",
        "notes",
        "dependsOn",
        "dependencies",
        "depends_on",
        "story",
        "steps",
        "category",
        "completed",
        "status",
        "files",
    }
)


def recognise(document: Document) -> bool:
    """Whether it is a list of user stories in JSON or markdown, or a fix plan of boxes by priority."""
    return bool(_stories_of(load(document.text))) or len(_story_sections(document)) > 0 or len(_priorities(document)) > 1


def read(document: Document) -> PlanReading:
    """The plan: a phase for each story, by priority; of a fix plan a phase for each priority, the highest first."""
    data = load(document.text)
    if _stories_of(data):
        return _read_json(document, data)
    return _read_prd(document) if _story_sections(document) else _read_fix_plan(document)


def _stories_of(data: Any) -> list[dict[str, Any]]:
    """The user stories of a prd.json; or the features of a list, each with `passes`."""
    stories = (
        data
        if isinstance(data, list)
        else next((data[name] for name in _LISTS if data.get(name)), None)
        if isinstance(data, dict)
        else None
    )
    if not isinstance(stories, list) or not stories or not all(isinstance(story, dict) for story in stories):
        return []
    named = isinstance(data, dict) and (data.get("userStories") or data.get("user_stories") or data.get("stories"))
    is_ralph = named and all(story.get("id") for story in stories)
    has_passes = all("passes" in story and (story.get("description") or story.get("title")) for story in stories)
    return stories if is_ralph or has_passes else []


def _read_json(document: Document, data: dict[str, Any]) -> PlanReading:
    stories = _stories_of(data)
    if isinstance(data, list):  # a list of features alone
        data, is_list = {"": data}, True
    else:
        is_list = False
    title = text_of(data.get("description")) or text_of(data.get("project")) or text_of(data.get("name")) or "Ralph"
    draft = JsonDraft(document, NAME, title=one_line(title), tasks="step", order="by priority")
    name = next(name for name in ("", *_LISTS) if data.get(name))
    places = [*objects_in(document.text, name), *[(1, 1)] * len(stories)]
    commands = data.get("verificationCommands")
    checks = [f"`{text_of(command)}` passes" for command in commands.values() if text_of(command)] if isinstance(commands, dict) else []
    worded = all(str(story.get("priority", "")).lower() in _RANKS for story in stories)
    ranked: list[tuple[float, int, dict[str, Any], tuple[int, int]]] = []
    for place, (story, lines) in enumerate(zip(stories, places, strict=False)):
        priority = story.get("priority")
        if worded:
            rank = float(_RANKS[str(priority).lower()])
        else:
            rank = float(priority) if isinstance(priority, (int, float)) and not isinstance(priority, bool) else float(place + 1)
        ranked.append((rank, place, story, lines))
    for _, _, story, (first, last) in sorted(ranked, key=lambda entry: entry[:2]):
        named = str(story.get("id") or "")
        phase = draft.phase(named, text_of(story.get("title")) or text_of(story.get("description")) or named, first, last)
        done = (
            story.get("passes") is True or story.get("completed") is True or text_of(story.get("status")).lower() in ("done", "completed")
        )
        phase.goal = text_of(story.get("description")) or text_of(story.get("story"))
        step = "\n".join(filter(None, (f"{phase.title}: {phase.goal}" if phase.goal else phase.title, text_of(story.get("notes")))))
        phase.add_step(step, first, done)
        criteria = next((story[name] for name in _CRITERIA if story.get(name)), None)
        for criterion in [*(criteria if isinstance(criteria, list) else [criteria] if criteria else []), *checks]:
            phase.add_gate(" ".join(text_of(criterion).split()), first, done)
        for path in story["files"] if isinstance(story.get("files"), list) else ():
            draft.files(phase, text_of(path), first, inline=False)
        waits = story.get("dependsOn") or story.get("dependencies") or story.get("depends_on")
        if waits:
            draft.waiting.append((phase, ", ".join(map(str, waits)) if isinstance(waits, list) else str(waits), first))
        draft.unknown(story, _KNOWN, first, last, f"story {phase.key}")
    top = frozenset(
        {
            "",
            *_LISTS,
            "project",
            "branchName",
            "description",
            "userStories",
            "user_stories",
            "stories",
            "verificationCommands",
            "title",
            "name",
        }
    )
    draft.unknown(data, top, 1, len(document.lines), "the document")
    rest = [story for story in stories if not _passed(story)]
    draft.without_done = json.dumps(rest if is_list else {**data, name: rest}, indent=2, ensure_ascii=False)
    return draft.finish()


def _passed(story: dict[str, Any]) -> bool:
    return story.get("passes") is True or story.get("completed") is True or text_of(story.get("status")).lower() in ("done", "completed")


def _story_sections(document: Document) -> list[Section]:
    divided = any(phase_of(section.title) for section in document.sections)  # then boxes alone are the steps of its phases
    return [
        section
        for section in document.sections
        if _STORY.match(section.title)
        and (
            re.search(r"Acceptance Criteria", document.text_between(section.line, section.end_line), re.IGNORECASE)
            or (not divided and any(item.has_box for item in document.items_in(section, deep=True)))
        )
    ]


def _read_prd(document: Document) -> PlanReading:
    draft = Draft(document, NAME, tasks="step", order="stories in the order written")
    for section in _story_sections(document):
        named = _STORY.match(section.title)
        phase = draft.phase(named["key"] if named else "", named["title"] if named else section.title, section.line, section.end_line)
        PhaseReader(draft, phase, {"description": Role.GOAL, "story": Role.GOAL}).read(section)
        if not phase.steps:
            phase.add_step(f"{phase.title}: {one_line(phase.goal)}" if phase.goal else phase.title, section.line)
    return draft.finish()


def _priorities(document: Document) -> list[Section]:
    """The sections of a fix plan: headings that name a priority, on one level."""
    found = [section for section in document.sections if section.level > 1 and _PRIORITY.match(folded(section.title))]
    boxes = [item for section in found for item in document.items_in(section) if item.has_box]
    if any(item.has_box for section in found for part in section.sections for item in document.items_in(part, deep=True)):
        return []
    return found if boxes and all(section.level == found[0].level for section in found) else []


def _read_fix_plan(document: Document) -> PlanReading:
    draft = Draft(document, NAME, tasks="task", order="the highest priority first")
    for section in _priorities(document):
        items = [item for item in document.items_in(section, deep=True) if item.has_box]
        if not items:
            draft.account.mark(ReadAs.MENTION, section.line)
            continue
        phase = draft.phase("", section.title, section.line, section.end_line)
        _first_step(draft, phase)
        for item in items:
            text = one_line(_ITEM_TASK.sub("", item.text.replace("**", ""), count=1))
            draft.step(phase, item, f"{text}\n{item.below}" if item.below else text)
    for section in document.sections:
        if _RECORD.match(folded(section.title)) and section not in _priorities(document):
            for item in document.items_in(section, deep=True):
                if item.has_box:
                    draft.account.unread(item.line, item.end_line, UnreadKind.CHECK_BOX, "It stands in the record of what is completed.")
    return draft.finish()


def _first_step(draft: Draft, phase: DraftPhase) -> None:
    """What a fix plan says to do first, above its lists, is the first step of its first phase."""
    if len(draft.phases) > 1:
        return
    above = [draft.document.root, *(section for section in draft.document.sections if section.line < phase.line)]
    for section in above:
        for at, block in enumerate(section.blocks):
            label = label_of(block.text) if block.kind == "paragraph" and block.end < phase.line else None
            if label is None or not re.match(r"first (?:step|task|thing)", label.name):
                continue
            code = section.blocks[at + 1] if at + 1 < len(section.blocks) and section.blocks[at + 1].kind == "fence" else None
            text = f"{' '.join(label.value.split())}\n{code.text.strip()}" if code else label.value
            phase.add_step(text, block.start + 1)
            draft.account.mark(ReadAs.STEP, block.start + 1, code.end if code else block.end)
            if not draft.issues.is_full("warnings"):
                message = "What stands above the lists as the first step is read as the first step of the first phase."
                draft.issues.warning(block.start + 1, IssueCode.UNKNOWN_FIELD, message, phase=phase.key)
