"""What a batch leaves for those who come after it: statuses for the PRPs, a managed block of CLAUDE.md, Serena memory files.

Made of facts that do not change by being written down (no clock, no tip of a branch), so that a second update changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batches.core.errors import BatchError
from batches.core.review.drift import Drift, band_of, mean_drift
from batches.core.review.rules import GateFact
from batches.core.text.markdown import inline, table_row

CLAUDE_FILE = "CLAUDE.md"
MEMORIES = ".serena/memories"
STATUSES = {"succeeded": "executed", "failed": "failed", "blocked": "blocked", "cancelled": "cancelled"}


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """What came of a phase: `state` of its last task ("" when it was never executed), its merge commit, files and drift."""

    prp_id: str
    title: str
    state: str
    reason: str = ""
    merge_commit: str = ""
    executed_on: str = ""  # ISO 8601 date
    files: tuple[str, ...] = ()
    gates: tuple[GateFact, ...] = ()
    drift: Drift | None = None

    @property
    def status(self) -> str:
        """The word for the front matter."""
        return STATUSES.get(self.state, "new")


class BlockUnclear(BatchError):
    """The markers in a file do not enclose exactly one block, so it is left alone."""

    def __init__(self, path: str, begin: str) -> None:
        super().__init__(f"{path} is left alone: its marker {begin!r} has no single matching end. Mend or remove the markers.")


def front_matter(record: PhaseRecord) -> dict[str, str]:
    """The fields of a PRP's front matter that an update sets; the others stay as they are."""
    fields = {"status": record.status}
    if not record.state:
        return fields
    counts = {word: sum(gate.status == word for gate in record.gates) for word in ("passed", "failed", "unverified")}
    merged = f"merged as {record.merge_commit[:12]} on {record.executed_on}"
    fields["evidence"] = merged if record.merge_commit else record.reason or record.state
    if record.gates:
        fields["gates"] = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    if record.drift is not None:
        fields["drift"] = f"{record.drift.shown} % ({record.drift.band})"
        fields["undeclared"] = ", ".join(record.drift.undeclared)
    return fields


def markers(batch: int) -> tuple[str, str]:
    """The lines that enclose a batch's block."""
    return f"<!-- CE Web batch {batch}: begin -->", f"<!-- CE Web batch {batch}: end -->"


def render_block(batch: int, title: str, branch: str, records: Sequence[PhaseRecord]) -> str:
    """The batch's block of CLAUDE.md, markers included, without a line end."""
    begin, end = markers(batch)
    done = sum(record.state == "succeeded" for record in records)
    lines = [
        begin,
        f"## Batch {batch}: {inline(title)}",
        "",
        f"{done} of {len(records)} phases carried out on `{branch}`{_drift_words(records)}. Work orders: `PRPs/feature-requests/`.",
        "",
    ]
    for record in records:
        files = f": {', '.join(f'`{inline(name)}`' for name in record.files)}" if record.files else ""
        lines.append(f"- {record.prp_id} {inline(record.title)} ({record.status}){files}")
    return "\n".join([*lines, end])


def _drift_words(records: Sequence[PhaseRecord]) -> str:
    mean = mean_drift(record.drift for record in records if record.drift is not None)
    return "" if mean is None else f", mean drift {mean:.0f} % ({band_of(mean)})"


def with_block(existing: bytes | None, batch: int, block: str) -> bytes:
    """The file with the batch's block in place of the old one, or at its end; every other byte stays as it is.

    Raises BlockUnclear when the markers in it do not enclose exactly one block.
    """
    begin, end = (marker.encode() for marker in markers(batch))
    if not existing:
        return block.encode() + b"\n"
    counts = existing.count(begin), existing.count(end)
    if counts == (0, 0):
        line_end = b"\r\n" if b"\r\n" in existing else b"\n"
        gap = line_end if existing.endswith(b"\n") else line_end * 2
        return existing + gap + block.encode().replace(b"\n", line_end) + line_end
    start, stop = existing.find(begin), existing.find(end)
    if counts != (1, 1) or stop < start:
        raise BlockUnclear(CLAUDE_FILE, begin.decode())
    line_end = b"\r\n" if b"\r\n" in existing[start:stop] else b"\n"  # as the old block has it
    return existing[:start] + block.encode().replace(b"\n", line_end) + existing[stop + len(end) :]


def memories(batch: int, title: str, branch: str, records: Sequence[PhaseRecord]) -> dict[str, str]:
    """{path: text} of the Serena memory files: what was done, and where it strayed from the plan."""
    done = [f"# Batch {batch}: {inline(title)}", "", f"Branch `{branch}`.", "", "| PRP | Title | Status | Merged as |", "|---|---|---|---|"]
    done += [table_row(record.prp_id, record.title, record.status, record.merge_commit[:12] or "—") for record in records]
    done += ["", "## Files", ""]
    for record in records:
        done += [f"- `{inline(name)}` ({record.prp_id})" for name in record.files]
    strayed = [f"# Batch {batch}: drift", "", "| PRP | Drift | Undeclared | Deleted | Not changed |", "|---|---|---|---|---|"]
    for record in records:
        if record.drift is None:
            strayed.append(table_row(record.prp_id, "—", "—", "—", "—"))
        else:
            lists = (record.drift.undeclared, record.drift.deleted, record.drift.untouched)
            figure = f"{record.drift.shown} % ({record.drift.band})"
            strayed.append(table_row(record.prp_id, figure, *(", ".join(names) or "none" for names in lists)))
    name = f"{MEMORIES}/ce-batch-{batch}"
    return {f"{name}.md": "\n".join(done) + "\n", f"{name}-drift.md": "\n".join(strayed) + "\n"}
