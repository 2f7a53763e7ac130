"""The prompts, one file per role under prompts/, filled in from the spec, and the shapes of the answers."""

from __future__ import annotations

import os

from subagents.contract import ContractError, Role, TaskType
from subagents.reporting import title_of
from subagents.steering import opening

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.contract import TaskSpec

TELLS_STEPS = frozenset({"claude"})  # backends whose agent has a tool to report each step with, and a structured result
PROMPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prompts")
NONE = "None."
EARLIER = """
## An earlier attempt failed

Fix the cause of that failure. Do not repeat what did not help.

<earlier_failure>
{{text}}
</earlier_failure>
"""


# What the steps and gates above were read from, and what else the author said.
WHOLE = """
## The plan's own words

This is the phase as its author wrote it. The lists above were read from it; what it says beyond them counts as well.

<plan_section>
{{section}}
</plan_section>
"""
OVERVIEW = """
What the plan says outside its phases, for the larger picture only:

<plan_overview>
{{overview}}
</plan_overview>
"""
PLACE = """
## Its place in the plan

This is phase {{key}} of the plan "{{title}}". Its other phases are not yours to do:

{{others}}
"""
NEEDED = """
What it depends on is done and in your checkout:

{{needs}}
"""
PRP = """
## Its work order

The PRP was made from the plan; people and agents may have added to it, such as notes about this repository.

<prp>
{{prp}}
</prp>
"""
WORK = """
What changed in them:

<diff>
{{diff}}
</diff>

## What the gates said

{{results}}
"""
ASK_GIT = """- The tool `mcp__ce__git` answers `log`, `show`, `diff` and `blame`, such as `log -n5 -- src/app.py`. HEAD is the commit that
  you see in the checkout.
"""
COMMITS_ARE_OURS = "Never commit, push, or change branches yourself."
TELL_STEPS = f"""- After each step call the tool `mcp__ce__step_done` with its number and one sentence. The server commits the step then.
  {COMMITS_ARE_OURS}"""
TELL_NOTHING = f"- When you end, the server commits what is in the checkout. {COMMITS_ARE_OURS}"
END_WITH_RESULT = """- If something cannot be done, report `blocked` in the result and say what is missing.
- Never claim anything that you have not verified.

End with the structured result: `status` (`done` or `blocked`), for each step its number, whether it is done and a note,
and a summary, which the agents of the phases that depend on this one are told. If you were told numbered comments of a
person, answer in `comments` each one that you have dealt with: its number, and what you did."""
END_WITH_WORDS = """- If something cannot be done, say what is missing. Never claim anything that you have not verified.

End with a few sentences: what you did, and which step is not done."""
NETWORKS = {
    "steps": "Your commands have the network; the commands of gates have none.",
    "all": "Your commands have the network, and so have those of gates.",
}
NO_NETWORK = "Your commands have no network, and neither have those of gates."
OWN_NETWORK = "You have the network for your model; the commands of gates have none."
SPARE_SECONDS = 15.0  # as the backends end before the limit
PRP_BYTES = 24_000
NAMED_FILES, NAMED_COMMITS = 30, 10


def _text(**more: Any) -> dict[str, Any]:
    return {"type": "string", **more}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _may_have(schema: dict[str, Any], **properties: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "properties": {**schema["properties"], **properties}}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


SEVERITIES = ("critical", "major", "minor", "info")
OPINIONS = ("holds", "does_not_hold", "cannot_tell")

# The answer of each role's agent, as JSON schema.
ANSWERS: dict[Role, dict[str, Any]] = {
    Role.EXECUTOR: _may_have(
        _object(
            status=_text(enum=["done", "blocked"]),
            steps=_list(_object(number={"type": "integer"}, done={"type": "boolean"}, note=_text())),
            summary=_text(),
        ),
        comments=_list(_object(number={"type": "integer"}, answer=_text())),
    ),
    Role.GENERATOR: _object(notes=_text()),
    Role.REVIEWER: _object(
        summary=_text(),
        findings=_list(
            _object(severity=_text(enum=list(SEVERITIES)), place=_text(), message=_text(), suggestion=_text(), evidence=_text())
        ),
        opinions=_list(_object(gate={"type": "integer"}, opinion=_text(enum=list(OPINIONS)), evidence=_text())),
    ),
    Role.CONTEXT_UPDATER: _object(summary=_text()),
}
COMPLEXITIES = ("low", "medium", "high")
_PLAN = {
    "title": _text(),
    "overview": _text(),
    "phases": _list(
        _object(
            title=_text(),
            goal=_text(),
            complexity=_text(enum=list(COMPLEXITIES)),
            hours={"type": "number"},
            files=_list(_object(path=_text(), new={"type": "boolean"})),
            depends_on=_list({"type": "integer"}),
            steps=_list(_text()),
            gates=_list(_object(text=_text(), command=_text())),
        )
    ),
}
_ACCOUNT = {"account": _list(_object(line={"type": "integer"}, end_line={"type": "integer"}, became=_text(), why=_text()))}

# The answer of the generator's agent about an idea, by what it is asked for.
DRAFTS: dict[str, dict[str, Any]] = {
    "questions": _object(questions=_list(_object(question=_text(), answers=_list(_text())))),
    "plan": _object(**_PLAN),
    "revision": _object(**_PLAN),
    "translation": _object(**_PLAN, **_ACCOUNT),
}


def answer_schema(spec: TaskSpec) -> dict[str, Any]:
    """The JSON schema of the answer that this attempt's agent is asked for. Raises ContractError."""
    if spec.type != TaskType.DRAFT:
        return ANSWERS[spec.role]
    asked_for = spec.payload.get("asked_for")
    if asked_for not in DRAFTS:
        raise ContractError("payload: asked_for", f"is not one of {', '.join(DRAFTS)}")
    return DRAFTS[asked_for]


def render_prompt(spec: TaskSpec, checkout: str) -> str:
    """The role's prompt for this attempt, without the run's shared context that comes before it. Raises OSError, ContractError.

    Inserted text is not filled in again: {{checkout}} in a plan stays as it is.
    """
    name = f"draft_{spec.payload.get('asked_for')}" if spec.type == TaskType.DRAFT else str(spec.role)
    parts = _read(name).split("{{")
    values = _values(spec, checkout)
    done = [parts[0]]
    for part in parts[1:]:
        name, end, rest = part.partition("}}")
        if not end or name not in values:
            raise ContractError("a prompt", f"has a placeholder {name[:40]!r} without a value")
        done += [values[name], rest]
    return opening(spec) + "".join(done).rstrip("\n") + "\n"


def _read(name: str) -> str:
    with open(os.path.join(PROMPTS, f"{name}.md"), encoding="utf-8") as file:
        return file.read()


def _values(spec: TaskSpec, checkout: str) -> dict[str, str]:
    payload = spec.payload
    earlier = spec.earlier_failure.strip()
    return {
        "checkout": checkout,
        "prp_id": spec.prp_id,
        "phase_name": spec.phase_name,
        "goal": spec.goal or "not given",
        "files": ", ".join(spec.files_modified) or "none",
        "steps": "\n".join(_step(number, text, commands) for number, text, commands in _steps(spec)) or NONE,
        "gates": "\n".join(f"{number}. {text}" for number, text in enumerate(_gates(spec), start=1)) or NONE,
        "place": _place(spec),
        "prp": PRP.replace("{{prp}}", document) if spec.type == TaskType.EXECUTE and (document := _prp(spec)) else "",
        "limits": "\n".join(f"- {line}" for line in _limits(spec)),
        "reporting": TELL_STEPS if spec.backend in TELLS_STEPS else TELL_NOTHING,
        "ending": END_WITH_RESULT if spec.backend in TELLS_STEPS else END_WITH_WORDS,
        "document": str(payload.get("document") or payload.get("text") or ""),
        "moment": str(payload.get("moment", "")),
        "findings": "\n".join(f"- {item['severity']}: {item['place']}: {item['message']}" for item in payload.get("findings", ())) or NONE,
        "changed": "\n".join(f"- {path}" for path in payload.get("changed", ())) or NONE,
        "work": _work(payload),
        "asking_git": ASK_GIT if spec.backend in TELLS_STEPS else "",
        "unverified": "\n".join(f"{item['position']}. {item['text']}" for item in payload.get("unverified", ())) or NONE,
        "plan": _plan_text(spec),
        **(_values_of_draft(payload) if spec.type == TaskType.DRAFT else {}),
        "earlier_failure": EARLIER.replace("{{text}}", earlier) if earlier else "",
    }


def _values_of_draft(payload: dict[str, Any]) -> dict[str, str]:
    """What the prompts about an idea quote. Lines of the document are numbered, so that the agent can account for them."""
    document = str(payload.get("document") or "")
    numbered = "\n".join(f"{number}\t{line}" for number, line in enumerate(document.split("\n"), start=1))
    answers = [f"- {one['question']}\n  {one['answer']}" for one in payload.get("answers", ())]
    return {
        "idea": str(payload.get("idea") or NONE),
        "source": str(payload.get("source") or "a document"),
        "document": numbered if document else NONE,
        "pointed_at": "\n".join(f"- {path}" for path in payload.get("files", ())) or NONE,
        "commands": "\n".join(f"- {name}: `{command}`" for name, command in payload.get("commands", {}).items()) or NONE,
        "history": "\n".join(f"- {line}" for line in payload.get("history", ())) or "Nothing has been executed here yet.",
        "answers": "\n".join(answers) or NONE,
        "current": str(payload.get("plan") or NONE),
        "remark": str(payload.get("remark") or NONE),
        "rules": _read("draft_rules").rstrip("\n"),
    }


def _work(payload: dict[str, Any]) -> str:
    """The diff of a phase and the results of its gates; "" before its execution."""
    if not payload.get("diff") and not payload.get("gates"):
        return ""
    results = [f"- {gate['status']}: {gate['text']}" + (f" ({gate['how']})" if gate["how"] else "") for gate in payload.get("gates", ())]
    diff = str(payload.get("diff") or "The phase changed no file, or its commits are gone.")
    return WORK.replace("{{results}}", "\n".join(results) or NONE).replace("{{diff}}", diff)


def _plan_text(spec: TaskSpec) -> str:
    """The phase's section and the plan's overview, as far as there are any."""
    section = WHOLE.replace("{{section}}", spec.section) if spec.section else ""
    return section + (OVERVIEW.replace("{{overview}}", spec.overview) if spec.overview else "")


def _steps(spec: TaskSpec) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(step.number, step.text, step.commands) for step in spec.steps]


def _step(number: int, text: str, commands: tuple[str, ...]) -> str:
    shown = "".join(f"\n```bash\n{command}\n```" for command in commands)
    return f"{number}. {text}{shown}"


def _gates(spec: TaskSpec) -> list[str]:
    """Each gate once: what it says, and its command where the words do not have it. One command is judged once for the agent."""
    found: dict[str, str] = {}
    for gate in spec.gates:
        text = f"{gate.text} (`{gate.command}`)" if gate.command and gate.command not in gate.text else gate.text
        found.setdefault(gate.command or text, text)
    return list(found.values())


def _place(spec: TaskSpec) -> str:
    """The phase among the others: the plan's title, their titles, and what came of those that it depends on."""
    plan = spec.plan
    if not plan:
        return ""
    others = []
    for phase in plan["phases"]:
        word = {"needs": ", which this phase depends on", "needed_by": ", which depends on this phase"}.get(phase["relation"], "")
        others.append(f"- {phase['key']}: {phase['title']}{word}")
    if plan.get("more"):
        others.append(f"- and {plan['more']} more")
    text = PLACE.replace("{{key}}", spec.key).replace("{{title}}", plan["title"]).replace("{{others}}", "\n".join(others) or NONE)
    needs = "\n".join(_needed(phase) for phase in plan.get("needs", ()))
    return text + (NEEDED.replace("{{needs}}", needs) if needs else "")


def _needed(phase: dict[str, Any]) -> str:
    lines = [f"- {phase['key']}: {phase['title']}"]
    if phase["summary"]:
        lines.append(f"  In its agent's words: {' '.join(phase['summary'].split())}")
    if phase["commits"]:
        lines.append(f"  Commits: {_first(phase['commits'], NAMED_COMMITS)}")
    lines.append(f"  Files that it changed: {_first(phase['files'], NAMED_FILES) or 'none'}")
    return "\n".join(lines)


def _first(names: list[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _prp(spec: TaskSpec) -> str:
    """The phase's PRP as it stands at the base commit; "" when there is none. Raises GitError, OSError."""
    from subagents.documents import NotADocument, read_start
    from subagents.open_repository import attached_repository

    path = str(spec.plan.get("prp", ""))
    try:
        data = read_start(attached_repository(spec.repository), spec.base_commit, path, PRP_BYTES + 1) if path else b""
    except NotADocument:
        return ""
    cut = f"\n… the rest is in {path}" if len(data) > PRP_BYTES else ""
    return data[:PRP_BYTES].decode("utf-8", "ignore").strip() + cut


def _limits(spec: TaskSpec) -> list[str]:
    """What the attempt may use and reach, one sentence each."""
    seconds = spec.timeout_seconds - min(SPARE_SECONDS, spec.timeout_seconds / 4)
    found = [f"Time: {_minutes(seconds)} from the start. Then you are stopped; what is finished by then is kept."]
    if spec.max_cost_usd is not None:
        found.append(f"Money: ${spec.max_cost_usd:.2f}. Then you are stopped, too.")
    asked = str(spec.policy.get("network", "none"))
    hosts = [str(host) for host in spec.policy.get("hosts", ())]
    found.append(OWN_NETWORK if spec.backend == "command" and asked != "all" else NETWORKS.get(asked, NO_NETWORK))
    if hosts and asked in NETWORKS:
        found.append(f"Of the network these hosts alone can be reached: {_first(hosts, NAMED_FILES)}.")
    found.append("You can write in the checkout, $HOME and $TMPDIR. Only what is in the checkout, and git does not ignore, is kept.")
    read = [str(path) for path in spec.policy.get("paths", ())]
    found.append(f"You can read, and not change, programs and libraries{f', and {_first(read, NAMED_FILES)}' if read else ''}.")
    found.append("The checkout's git is a throw-away one: it shows status, differences and the log. What you commit there is lost.")
    return found


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def check_answer(spec: TaskSpec, answer: Any) -> str:
    """What is wrong with an agent's answer; "" when it has the shape that was asked for."""
    return _fault(answer_schema(spec), answer, "the structured result")


def _fault(schema: dict[str, Any], value: Any, path: str) -> str:
    """The first fault of `value` under the part of JSON schema that ANSWERS uses, or ""."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool
    }  # fmt: skip
    kind = str(schema["type"])
    fits: bool = isinstance(value, kinds[kind]) and not (kind in ("integer", "number") and isinstance(value, bool))
    if not fits:
        return f"{path} is not {'an' if kind[0] in 'aio' else 'a'} {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path} is not one of {', '.join(schema['enum'])}: {title_of(value)!r}"
    if kind == "array":
        return next((fault for number, item in enumerate(value) if (fault := _fault(schema["items"], item, f"{path}[{number}]"))), "")
    if kind == "object":
        missing = [name for name in schema["required"] if name not in value]
        if missing:
            return f"{path} has no {missing[0]}"
        known = schema["properties"].items()
        return next((fault for name, part in known if name in value and (fault := _fault(part, value[name], f"{path}: {name}"))), "")
    return ""
