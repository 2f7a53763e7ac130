"""What the tests of the formats say of a reading."""

from textwrap import dedent

from batches.core.plans.reader import PlanReading, read_plan
from batches.core.plans.unread import ReadAs, UnreadKind

# The ReadAs of a line is one of these where it says what to do, or how it shows.
WORK = {ReadAs.STEP, ReadAs.GATE, ReadAs.PHASE, ReadAs.MENTION}


def read(text: str) -> PlanReading:
    """The reading of an indented sample, which must account for each of its lines and boxes."""
    text = dedent(text).lstrip("\n")
    reading = read_plan(text)
    assert_accounted(text, reading)
    return reading


def assert_accounted(text: str, reading: PlanReading) -> None:
    """No line is lost, and each check-box outside fences is a step, a gate, the head of a phase, or listed as not read."""
    lines = text.split("\n")
    assert len(reading.accounting.lines) == len(lines)
    listed = {at for piece in reading.accounting.unread for at in range(piece.line, piece.end_line + 1)}
    fenced = False
    for number, line in enumerate(lines, start=1):
        fenced ^= line.lstrip().startswith("```")
        read_as = reading.accounting.read_as(number)
        assert read_as is not ReadAs.UNREAD or number in listed, f"line {number} is lost: {line}"
        if not fenced and line.lstrip().startswith(("- [ ]", "- [x]")):
            assert read_as in WORK or number in listed, f"line {number} is {read_as.name}: {line}"


def shape(reading: PlanReading) -> dict[str, tuple[list[str], int, int]]:
    """For each phase what it waits for, and how many steps and gates it has."""
    return {phase.key: (list(phase.dependencies), len(phase.steps), len(phase.gates)) for phase in reading.plan.phases}


def name_of(reading: PlanReading) -> str:
    """The name of the format; "" for our own."""
    return reading.format.name if reading.format else ""


def unread_boxes(reading: PlanReading) -> list[int]:
    """The lines of the boxes that are listed as not read."""
    return [piece.line for piece in reading.accounting.unread if piece.kind is UnreadKind.CHECK_BOX]
