"""What a person says to an agent, as the agent reads it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec

REMARK = """# What a person says first

A person has looked at this phase and says the following to you. It counts more than the plan's text where the two differ.

<remark>
{remark}
</remark>

"""


def opening(spec: TaskSpec) -> str:
    """What stands before the prompt: a person's remark for this attempt; "" without one."""
    remark = str(spec.payload.get("remark", "")).strip()
    return REMARK.format(remark=remark) if remark else ""
