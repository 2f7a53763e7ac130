"""Steps without a command, for a project whose backend carries out commands only: each is offered a fence, filled where a command fits.

Pure: the project's commands come as values.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batches.core.gates.shell import command_of_step
from batches.core.plans.fill_in import place_for
from batches.core.plans.types import PhaseSpec, Repair, apply_repair

_SPAN = re.compile(r"`[^`]+`")
_ITEM = re.compile(r"(?P<marker>\s*(?:[-*+]|[0-9]{1,9}[.)])\s+)\S")
# A step that says to run one of the project's commands, by the name of the command; the first that fits counts.
_SAYS = (
    ("coverage", re.compile(r"\b(?:run|measure|check|report)\b.*\bcoverage\b", re.IGNORECASE)),
    ("lint", re.compile(r"\b(?:run|check)\b.*\b(?:lint(?:er|s)?|style|format(?:ter|ting)?)\b|\blint\b", re.IGNORECASE)),
    ("build", re.compile(r"\b(?:build|compile)s?\s+(?:it|the\s+(?:project|package|application))\b|\brun\b.*\bbuild\b", re.IGNORECASE)),
    ("test", re.compile(r"\b(?:run|re-?run)\b.*\btests?\b|\bverify\b.*\btests?\b.*\bpass", re.IGNORECASE)),
)
LONGEST = 5_000  # lines of a plan for which one button is made for all steps


@dataclass(frozen=True, slots=True)
class ProseStep:
    """A step without a command: where it stands, the command that fits ("" for none), and the repair that writes a fence below it."""

    phase: str
    number: int
    line: int
    command: str
    repair: Repair | None


def prose_steps(phases: Sequence[PhaseSpec], lines: Sequence[str], commands: Mapping[str, str]) -> list[ProseStep]:
    """The steps without a command, in order. `commands` are the project's by name: test, lint, build, coverage."""
    return [
        _found(phase, step.number, step.text, step.line, lines, commands) for phase in phases for step in phase.steps if not step.commands
    ]


def _found(phase: PhaseSpec, number: int, text: str, line: int, lines: Sequence[str], commands: Mapping[str, str]) -> ProseStep:
    first = text.split("\n", 1)[0]
    spoken = [command for span in _SPAN.findall(first) if (command := command_of_step(span))]
    command = next((commands.get(name, "") for name, pattern in _SAYS if pattern.search(first) and commands.get(name)), "")
    if len(spoken) == 1:
        command = spoken[0]
    return ProseStep(phase.key, number, line, command, _fence(number, line, lines, command))


def _fence(number: int, line: int, lines: Sequence[str], command: str) -> Repair | None:
    """The repair that writes a fence below the item at `line`; None where no item of a list stands there."""
    found = _ITEM.match(lines[line - 1]) if 0 < line <= len(lines) else None
    if found is None:
        return None
    indent = " " * len(found["marker"].expandtabs(4))
    last = line
    while last < len(lines) and lines[last].strip() and not _ITEM.match(lines[last]) and lines[last].startswith(indent):
        last += 1
    inside = command or place_for("the command that does this")
    label = f"Run {command}" if command else f"Write a fence for step {number}"
    return Repair(last, "insert_after", f"{indent}```sh\n{indent}{inside}\n{indent}```", label)


def fences_for_all(steps: Sequence[ProseStep], lines: Sequence[str]) -> Repair | None:
    """One repair that writes the fences of all these steps; None for fewer than two, or for a very long plan."""
    repairs = [step.repair for step in steps if step.repair is not None]
    if len(repairs) < 2 or len(lines) > LONGEST:
        return None
    text = "\n".join(lines)
    for repair in sorted(repairs, key=lambda one: -one.line):
        text = apply_repair(text, repair)
    return Repair(1, "replace", text, f"Write a fence for each of {len(repairs)} steps", len(lines))
