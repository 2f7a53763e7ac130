"""A table whose rows are phases (| Phase | Goal | Depends on | …): the same phases in our own format, as a repair."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batches.core.plans.labels import KEY, Field, clean_title, field_named, label_name
from batches.core.plans.types import Repair
from batches.core.text.words import counted

_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})")
_CELLS = re.compile(r"(?<!\\)\|")
_BREAK = re.compile(r"[ \t]*<br[ \t]*/?>[ \t]*", re.IGNORECASE)
_KEYED = re.compile(
    rf"(?:(?:phase|step|task|milestone|stage)[ \t]+)?(?P<key>(?=[0-9A-Z]){KEY})(?:[ \t]*[.):\u2013\u2014-]+[ \t]*|[ \t]*$)(?P<title>.*)$",
    re.IGNORECASE,
)
_KEY_NAMES = frozenset({"phase", "phases", "#", "no", "no.", "nr", "nr.", "number", "id", "key", "step", "task", "milestone", "stage", ""})
_TITLE_NAMES = frozenset({"title", "name", "phase name", "description", "summary", "what", "work", "task", "step", "milestone", "scope"})
_STATUS_NAMES = frozenset({"status", "state", "done"})
_DONE = re.compile(r"\W*(?:done|completed?|finished|yes|x)\W*$|\W*[✅✔☑✓]\W*$", re.IGNORECASE)
_NOTHING = frozenset({"", "-", "–", "—", "none", "n/a", "na", "nothing", "no"})
_MOST = 500
ASSUMED = {Field.HOURS: "1", Field.COMPLEXITY: "medium"}


@dataclass(frozen=True, slots=True)
class PhaseTable:
    """The table's first and last line (from 1), its columns by what they are, and its rows."""

    line: int
    end: int
    columns: tuple[Field | str, ...]  # a field, "key", "title", "status", or the header of a column of another kind
    rows: tuple[tuple[str, ...], ...]

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """One repair where the table says the order, else one for each of the two that it may mean; none for rows without unique keys."""
        if Field.DEPENDENCIES in self.columns:
            orders: tuple[tuple[bool, str], ...] = ((False, ""),)
        else:
            orders = ((False, ", one after the other"), (True, ", all at once"))
        count = counted(len(self.rows), "phase")
        texts = [(self._text(at_once), f"Read the rows of this table as {count}{words}") for at_once, words in orders]
        return tuple(Repair(self.line, "replace", text, label, self.end) for text, label in texts if text)

    def _text(self, at_once: bool) -> str:
        named = [self._name(row) for row in self.rows]
        keys = [key for key, _ in named]
        if not all(keys):
            keys = [str(place) for place in range(1, len(named) + 1)] if not any(keys) else []
        if len({key.lower() for key in keys}) < len(self.rows) or not all(title for _, title in named):
            return ""
        lines: list[str] = []
        for place, (row, (_, title)) in enumerate(zip(self.rows, named, strict=True)):
            cells = {column: cell for column, cell in zip(self.columns, row, strict=False) if cell}
            goal = cells.get(Field.GOAL, "") or title
            lines += [f"### Phase {keys[place]}: {title or goal}", "", f"**Goal**: {_one_line(goal)}"]
            before = "None" if at_once or not place else f"Phase {keys[place - 1]}"
            depends = cells.get(Field.DEPENDENCIES, "") if Field.DEPENDENCIES in self.columns else before
            for field in (Field.HOURS, Field.COMPLEXITY, Field.FILES):
                if field in cells:
                    lines.append(f"**{field}**: {', '.join(_BREAK.split(cells[field]))}")
                elif field in ASSUMED:
                    lines.append(f"**{field} (assumed)**: {ASSUMED[field]}")
            lines.append(f"**Dependencies**: {'None' if depends.lower() in _NOTHING else _one_line(depends)}")
            notes = [f"{name}: {_one_line(cell)}" for name, cell in cells.items() if name not in (*Field, "key", "title", "status")]
            lines += ["", *notes] if notes else []
            box = "- [x]" if _DONE.match(cells.get("status", "")) else "- [ ]"
            lines += ["", f"**{Field.STEPS}**:", *(f"{box} {step}" for step in _BREAK.split(cells.get(Field.STEPS, goal)))]
            if Field.GATES in cells:
                lines += ["", f"**{Field.GATES}**:", *(f"- [ ] {gate}" for gate in _BREAK.split(cells[Field.GATES]))]
            lines.append("")
        return "\n".join(lines).rstrip()

    def _name(self, row: Sequence[str]) -> tuple[str, str]:
        """(key, title) of a row; "" for a key that it does not say."""
        cells = dict(zip(self.columns, row, strict=False))
        said = _plain(cells.get("key", ""))
        found = _KEYED.match(said)
        key, rest = (found["key"], found["title"]) if found else ("", said)
        return key, clean_title(_plain(_one_line(cells.get("title", "") or rest or cells.get(Field.GOAL, ""))))


def find_phase_table(lines: Sequence[str]) -> PhaseTable | None:
    """The only table of a document whose rows are phases; None without one, or where several could be meant."""
    found = [table for table in _tables(lines) if table.repairs]
    return found[0] if len(found) == 1 else None


def _tables(lines: Sequence[str]) -> Iterator[PhaseTable]:
    fence, at = "", 0
    while at + 2 < len(lines):
        mark = _FENCE.match(lines[at])
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        if fence or "|" not in lines[at] or "|" not in lines[at + 1] or not _RULE.match(lines[at + 1]):
            at += 1
            continue
        end = at + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        columns = _columns(_row(lines[at]))
        rows = tuple(_row(line) for line in lines[at + 2 : end])
        if columns and 2 <= len(rows) <= _MOST and all(len(row) <= len(columns) for row in rows):
            yield PhaseTable(at + 1, end, columns, rows)
        at = end


def _columns(header: Sequence[str]) -> tuple[Field | str, ...]:
    """What each column holds; () unless the table has a column of phases and two more that a phase has, or says "phase" itself."""
    names = [label_name(cell) for cell in header]
    columns: list[Field | str] = []
    for name, cell in zip(names, header, strict=True):
        field = field_named(cell)
        if name in _KEY_NAMES and "key" not in columns:
            columns.append("key")
        elif name in _TITLE_NAMES and "title" not in columns:
            columns.append("title")
        elif field is not None and field not in columns:
            columns.append(field)
        else:
            columns.append("status" if name in _STATUS_NAMES else _plain(cell) or "Note")
    told = sum(isinstance(column, Field) for column in columns)
    enough = told >= 1 if names and names[0].startswith("phase") else told >= 2
    return tuple(columns) if "key" in columns and enough else ()


def _row(line: str) -> tuple[str, ...]:
    cells = _CELLS.split(line.strip())
    inner = cells[1 if not cells[0].strip() else 0 : -1 if len(cells) > 1 and not cells[-1].strip() else None]
    return tuple(cell.replace("\\|", "|").strip() for cell in inner)


def _plain(cell: str) -> str:
    return " ".join(cell.replace("**", "").replace("__", "").split())


def _one_line(cell: str) -> str:
    return " ".join(_BREAK.sub(" ", cell).split())
