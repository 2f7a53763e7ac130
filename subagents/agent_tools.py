"""What a project lets Claude use beside its task: tools by rule, and what the repository has for agents. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from subagents.mcp_servers import OWN, ToolServer, server_of
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

RULE = re.compile(r"(?P<tool>[A-Za-z]+)(?:\((?P<inside>[^()]+)\))?")
MCP_RULE = re.compile(r"mcp__(?P<server>[A-Za-z0-9-]+(?:_[A-Za-z0-9-]+)*)(?:__(?P<tool>[A-Za-z0-9_.*-]+))?")
# Tools of the program that an attempt may have: those that it has anyhow, and those that a project switches on.
USUAL = ("Read", "Write", "Edit", "Bash", "Grep", "Glob", "AskUserQuestion")
SWITCHED = {"skills": "Skill", "subagents": "Agent", "web_search": "WebSearch", "web_fetch": "WebFetch"}
OTHER_NAMES = {"Task": "Agent"}  # another name that the program has for a tool
MOST_RULES = 100


def fault_of_rule(line: str, servers: Collection[str], *, patterns: bool) -> str:
    """What is wrong with a line of the allowed or denied tools; "" for nothing. With `patterns` it may be Bash(…)."""
    known = (*USUAL, *SWITCHED.values())
    if line.startswith("mcp__"):
        found = MCP_RULE.fullmatch(line)
        if found is None:
            return "not a tool such as mcp__tracker__search or mcp__tracker__*"
        return "" if found["server"] in servers else f"there is no MCP server {found['server']} here"
    found = RULE.fullmatch(line)
    if found is None or OTHER_NAMES.get(found["tool"], found["tool"]) not in known:
        return f"not a tool; there are {', '.join(known)}, and mcp__SERVER__TOOL"
    if found["inside"] and not patterns:
        return f"write {found['tool']} alone: parts of a tool can only be denied"
    return ""


@record
class ToolPolicy:
    """What one attempt may use.

    `allowed` limits the program's own tools if it names one of them, and an MCP server if it names one of its tools.
    What is `denied` stays denied.
    """

    servers: tuple[ToolServer, ...] = ()
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    skills: bool = False
    subagents: bool = False
    web_search: bool = False
    web_fetch: bool = False

    @staticmethod
    def of(options: Any) -> ToolPolicy:
        """From a spec's options. Raises ValueError when they are not what `to_json` writes."""
        given: dict[str, Any] = options if isinstance(options, dict) else {}
        servers = []
        for name, one in dict(given.get("servers") or {}).items():
            command = one.get("command") or []
            shaped = {**one, "command": command[0], "args": command[1:]} if command else {k: v for k, v in one.items() if k != "command"}
            servers.append(server_of(name, shaped))
        values: dict[str, Any] = {name: given.get(name) is True for name in SWITCHED}
        values |= {name: tuple(str(line) for line in given.get(name) or ()) for name in ("allowed", "denied")}
        return ToolPolicy(tuple(servers), **values)

    def to_json(self) -> dict[str, Any]:
        """What a spec's options hold: no value of a secret."""
        found: dict[str, Any] = {name: True for name in SWITCHED if getattr(self, name)}
        found |= {name: list(value) for name in ("allowed", "denied") if (value := getattr(self, name))}
        return found | ({"servers": {one.name: one.to_json() for one in self.servers}} if self.servers else {})

    def builtin(self) -> list[str]:
        """The program's tools that the agent has."""
        known = [*USUAL, *(tool for name, tool in SWITCHED.items() if getattr(self, name))]
        return [tool for tool in known if self.permits(tool)]

    def permits(self, tool: str) -> bool:
        """Whether a tool, by the name that the model uses, is allowed and not denied as a whole. Our own ones always are."""
        if tool.startswith(f"mcp__{OWN}__") or tool == "StructuredOutput":
            return True
        tool = OTHER_NAMES.get(tool, tool)
        allowed = [line for line in self.allowed if _group(line) == _group(tool)]
        return (not allowed or _in(tool, allowed)) and not _in(tool, self.denied)

    def denied_parts(self) -> list[str]:
        """The denied lines that the program itself keeps, such as Bash(git push:*)."""
        return [line for line in self.denied if "(" in line]


def _group(tool: str) -> str:
    """The server of a tool or of a line; "" for the program's own tools."""
    found = MCP_RULE.fullmatch(tool)
    return found["server"] if found else ""


def _in(tool: str, lines: Sequence[str]) -> bool:
    for line in lines:
        line = OTHER_NAMES.get(line, line)
        if line == tool or (line.startswith("mcp__") and (tool.startswith(f"{line}__") or fnmatchcase(tool, line))):
            return True
    return False
