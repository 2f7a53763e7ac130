"""Skills and subagents that a repository brings: `.claude/skills/NAME/SKILL.md` and `.claude/agents/NAME.md`.

They are read from the commit that the batch began with: no agent of a batch writes what the next one is told. Of what stands at
their top only name, description, tools and model count. Hooks, servers and permissions of theirs do not.
"""

from __future__ import annotations

import os
import re

from subagents.documents import list_files, read_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.workspace import Repository

SKILLS, AGENTS = ".claude/skills/", ".claude/agents/"
MOST_SKILLS, MOST_FILES, MOST_AGENTS, FILE_BYTES, ALL_BYTES = 40, 300, 40, 256 * 1024, 4 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def give_skills(repository: Repository, commit: str, folder: str) -> tuple[list[str], list[str]]:
    """Copy the skills of a commit into `folder`; (their names, what was left out and why). Raises GitError, OSError."""
    by_skill: dict[str, list[str]] = {}
    for path in list_files(repository, commit):
        name, inside, rest = path.removeprefix(SKILLS).partition("/")
        if path.startswith(SKILLS) and inside and rest:
            by_skill.setdefault(name, []).append(path)
    given: list[str] = []
    left_out: list[str] = []
    files, size = 0, 0
    for name, paths in sorted(by_skill.items()):
        if f"{SKILLS}{name}/SKILL.md" not in paths or not NAME.fullmatch(name):
            left_out.append(f"the skill {name}: it has no SKILL.md, or a name with other characters")
            continue
        if len(given) >= MOST_SKILLS or files + len(paths) > MOST_FILES:
            left_out.append(f"the skill {name}: there are more than {MOST_SKILLS} skills, or {MOST_FILES} files")
            continue
        for path in paths:
            data = read_start(repository, commit, path, FILE_BYTES + 1)
            size += len(data)
            if len(data) > FILE_BYTES or size > ALL_BYTES:
                left_out.append(f"{path}: too large")
                continue
            if path == f"{SKILLS}{name}/SKILL.md":
                fields, body = front_of(data.decode("utf-8", "replace"))
                about = fields.get("description") or f"The skill {name}"
                data = f"---\nname: {name}\ndescription: {_line(about)}\n---\n{body}".encode("utf-8", "replace")
            place = os.path.join(folder, path.removeprefix(SKILLS))
            os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
            with open(place, "wb") as file:
                file.write(data)
        files += len(paths)
        given.append(name)
    return given, left_out


def read_agents(repository: Repository, commit: str) -> dict[str, dict[str, object]]:
    """{name: description, prompt, tools (None: those of the agent), model} of a commit's subagents. Raises GitError."""
    found: dict[str, dict[str, object]] = {}
    for path in list_files(repository, commit):
        name = path.removeprefix(AGENTS).removesuffix(".md")
        if not path.startswith(AGENTS) or not path.endswith(".md") or not NAME.fullmatch(name) or len(found) >= MOST_AGENTS:
            continue
        fields, body = front_of(read_start(repository, commit, path, FILE_BYTES).decode("utf-8", "replace"))
        if not fields.get("description") or not body.strip():
            continue
        tools = [tool for tool in re.split(r"[,\s]+", fields.get("tools", "").strip("[]")) if tool]
        model = fields.get("model", "")
        found[name] = {
            "description": fields["description"],
            "prompt": body.strip(),
            "tools": [tool.strip("\"'") for tool in tools] or None,
            "model": model if model in ("haiku", "sonnet", "opus", "inherit") else None,
        }
    return found


def front_of(text: str) -> tuple[dict[str, str], str]:
    """(the fields at the top, the rest) of a text. A field is a line `name: value`; lines below it that are indented belong to it."""
    lines = text.lstrip("\ufeff").split("\n")
    end = next((number for number, line in enumerate(lines[1:], start=1) if line.rstrip() == "---"), None)
    if lines[0].rstrip() != "---" or end is None:
        return {}, text
    fields: dict[str, str] = {}
    last = ""
    for line in lines[1:end]:
        found = re.fullmatch(r"([A-Za-z][\w-]*):\s*(.*?)\s*", line)
        if found:
            last = found[1].lower()
            fields[last] = "" if found[2] in (">", "|", ">-", "|-") else found[2].strip("\"'")
        elif last and line.strip():
            item = line.strip().removeprefix("- ")
            fields[last] = f"{fields[last]} {item}".strip()
    return fields, "\n".join(lines[end + 1 :])


def _line(text: str) -> str:
    """A text as a quoted value of one line."""
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')[:1024] + '"'
