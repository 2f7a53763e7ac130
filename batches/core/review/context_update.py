"""The update of the shared context after a batch: statuses in the PRPs, a block of CLAUDE.md, Serena memory files.

The texts hold no clock time and no branch tip, so a second update of the same batch changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batches.core.errors import BatchError
from batches.core.review.drift import Drift, band_of, mean_drift
from batches.core.review.types import GateFact
from batches.core.text.markdown import inline, table_row

CLAUDE_FILE = "CLAUDE.md"
MEMORIES = ".serena/memories"
STATUSES = {"succeeded": "executed", "failed": "failed", "blocked": "blocked", "cancelled": "cancelled"}


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """The outcome of a phase. `state` is that of its last task, "" when it was never executed."""

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
        """The status that the front matter shows."""
        return STATUSES.get(self.state, "new")


class BlockUnclear(BatchError):
    """The markers in a file do not enclose exactly one block, so the file is not changed."""

    def __init__(self, path: str, begin: str) -> None:
        super().__init__(f"{path} was not changed: its marker {begin!r} has no single matching end. Fix or remove the markers.")


def front_matter(record: PhaseRecord) -> dict[str, str]:
    """The fields of a PRP's front matter that an update sets. All other fields stay as they are."""
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
    """The first and the last line of a batch's block."""
    return f"<!-- CE Web batch {batch}: begin -->", f"<!-- CE Web batch {batch}: end -->"


def render_block(batch: int, title: str, branch: str, records: Sequence[PhaseRecord]) -> str:
    """The batch's block of CLAUDE.md with its markers, without a final newline."""
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
    """The file with the batch's block replaced, or appended if it had none. Every other byte stays the same.

    Raises BlockUnclear when the markers in the file do not enclose exactly one block.
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
    line_end = b"\r\n" if b"\r\n" in existing[start:stop] else b"\n"  # the old block's own
    return existing[:start] + block.encode().replace(b"\n", line_end) + existing[stop + len(end) :]


def memories(batch: int, title: str, branch: str, records: Sequence[PhaseRecord]) -> dict[str, str]:
    """{path: text} of the Serena memory files: what was done, and how it differs from the plan."""
    done = [f"# Batch {batch}: {inline(title)}", "", f"Branch `{branch}`.", "", "| PRP | Title | Status | Merged as |", "|---|---|---|---|"]
    done += [table_row(record.prp_id, record.title, record.status, record.merge_commit[:12] or "—") for record in records]
    done += ["", "## Files", ""]
    for record in records:
        done += [f"- `{inline(name)}` ({record.prp_id})" for name in record.files]
    drift_table = [f"# Batch {batch}: drift", "", "| PRP | Drift | Undeclared | Deleted | Not changed |", "|---|---|---|---|---|"]
    for record in records:
        if record.drift is None:
            drift_table.append(table_row(record.prp_id, "—", "—", "—", "—"))
        else:
            lists = (record.drift.undeclared, record.drift.deleted, record.drift.untouched)
            figure = f"{record.drift.shown} % ({record.drift.band})"
            drift_table.append(table_row(record.prp_id, figure, *(", ".join(names) or "none" for names in lists)))
    name = f"{MEMORIES}/ce-batch-{batch}"
    return {f"{name}.md": "\n".join(done) + "\n", f"{name}-drift.md": "\n".join(drift_table) + "\n"}
