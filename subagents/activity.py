"""What an agent does at the moment, in words: "runs `pytest -q`", "reads src/a.py". For all agents, whatever they call their tools."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHARACTERS = 100
WAITS = "waits for the model"
VERBS = {
    "runs": ("bash", "shell", "run_shell_command", "command_execution", "exec_command"),
    "reads": ("read", "read_file", "read_many_files", "view", "list", "list_directory", "ls"),
    "writes": ("write", "write_file"),
    "edits": ("edit", "replace", "multiedit", "patch", "apply_patch", "file_change"),
    "searches for": ("grep", "glob", "search", "search_file_content", "grep_search"),
    "looks up": ("web_search", "websearch", "webfetch", "web_fetch", "google_web_search"),
}
VERB_OF = {name: verb for verb, names in VERBS.items() for name in names}
QUOTED = ("runs", "searches for", "looks up")
WHAT = ("command", "file_path", "filePath", "absolute_path", "pattern", "query", "url", "path", "dir_path", "number")


def doing(tool: str, given: dict[str, Any], checkout: str) -> str:
    """The tool call as an activity; paths below `checkout` without it."""
    name = tool.rpartition("__")[2]
    verb, what = VERB_OF.get(name.lower(), ""), what_of(given, checkout)
    if name == "step_done":
        return f"ends step {what}"
    if not verb:
        return f"uses {name} {what}".strip()
    return f"{verb} {f'`{what}`' if what and verb in QUOTED else what}".strip()


def what_of(given: dict[str, Any], checkout: str) -> str:
    """What a tool call is about, in one line: a command, a path, a pattern; "" when nothing says it."""
    value = next((value for name in WHAT if (value := given.get(name))), "")
    if isinstance(value, list):
        value = " ".join(map(str, value))
    lines = [line.strip() for line in str(value).split("\n") if line.strip()]
    text = (lines[0] if lines else "").removeprefix(checkout + os.sep)
    cut = len(text) > CHARACTERS or len(lines) > 1
    return f"{text[: CHARACTERS - 1].rstrip()}…" if cut else text
