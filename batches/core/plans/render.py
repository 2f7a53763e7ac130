"""Write a plan as markdown. Reading it gives the same plan again."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from batches.core.gates.shell import command_of_step
from batches.core.plans.types import PhaseSpec, PlanSpec


def _hours(phase: PhaseSpec) -> str:
    if phase.hours_text:
        return phase.hours_text
    return f"{phase.hours:g}" if phase.hours is not None else ""


def _indented(text: str, width: int) -> str:
    pad = " " * width
    return "\n".join(pad + line if line and number else line for number, line in enumerate(text.split("\n")))


def _fence(command: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", command)), default=2)
    marks = "`" * (longest + 1)
    return f"{marks}sh\n{command}\n{marks}"


def _phase_text(phase: PhaseSpec, said: Mapping[str, str]) -> str:
    lines = [f"### Phase {phase.key}" + (f": {phase.title}" if phase.title else ""), ""]

    def label(name: str) -> str:
        return f"**{name}{' (assumed)' if name in phase.assumed else ''}**:"

    for name, value in (("Goal", phase.goal), ("Estimated Hours", _hours(phase)), ("Complexity", phase.complexity)):
        if value:  # an unknown field is left out, so that the reader reports it as missing
            lines.append(f"{label(name)} {value}")
    if phase.files:
        lines += [label("Files Modified"), *(f"- `{path}` {said.get(path, '')}".rstrip() for path in phase.files), ""]
    else:
        lines.append(f"{label('Files Modified')} None")
    lines.append(f"{label('Dependencies')} " + (", ".join(f"Phase {key}" for key in phase.dependencies) or "None"))
    if phase.steps:
        lines += ["", "**Implementation Steps**:"]
        for number, step in enumerate(phase.steps, start=1):
            marker = f"{number}. "
            pad = " " * len(marker)
            lines.append(marker + ("[x] " if step.done else "") + _indented(step.text, len(marker)))
            for command in () if step.commands == (command_of_step(step.text),) else step.commands:
                lines.append("\n".join(pad + line if line else "" for line in _fence(command).split("\n")))
    if phase.gates:
        lines += ["", "**Validation Gates**:"]
        lines += [f"- [{'x' if gate.checked else ' '}] {_indented(gate.text, 2)}" for gate in phase.gates]
    return "\n".join(lines) + "\n"


def render_plan(plan: PlanSpec, said: Mapping[str, str] = MappingProxyType({})) -> str:
    """The plan in the plan format. Reading it gives the same plan, except for line numbers.

    `said` is what stands behind a file's path, such as "(NEW)" or "- why".
    """
    return "\n".join([f"# {plan.title}", "", "## Phases", "", *(_phase_text(phase, said) for phase in plan.phases)])
