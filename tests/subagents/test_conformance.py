"""Each backend passes the kit (claude in test_claude.py, whose table says more of it); what is one backend's own stands below it."""

import json
import sys
from contextlib import AbstractContextManager, nullcontext

import pytest

from subagents import launcher
from subagents.backends.command import NOT_CONFIGURED
from subagents.contract import Failure, ResultStatus, Role, StepPlan, TaskSpec, TaskType
from tests.subagents.conformance import BEHAVIOURS, GATES, STEPS, Subject, check_backend
from tests.subagents.conftest import World, commit_files, user_git

pytestmark = pytest.mark.process

SHELL = {
    "works": ("echo made > made.txt", "echo proof > proof.txt"),
    "fails": ("echo made > made.txt; exit 3", "true"),
    "lies": ("echo made > made.txt", "true"),
    "hangs": ("echo made > made.txt; sleep 600", "true"),
    "cancelled": ("echo made > made.txt; sleep 600", "true"),
}


def launched(spec: TaskSpec, behaviour: str) -> AbstractContextManager[object]:
    launcher.launch(spec.attempt_dir)
    return nullcontext()


def steps_order(world: World, behaviour: str) -> dict[str, object]:
    return {"steps": tuple(StepPlan(step.number, step.text, (script,)) for step, script in zip(STEPS, SHELL[behaviour], strict=True))}


def command_order(world: World, behaviour: str) -> dict[str, object]:
    script = "; ".join(["grep -q 'Write made.txt'", *SHELL[behaviour]])  # it reads the prompt
    return {"backend": "command", "options": {"command": ["/bin/sh", "-c", script]}}


SUBJECTS = {"steps": Subject("steps", steps_order, launched), "command": Subject("command", command_order, launched)}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("backend", SUBJECTS)
def test_backend_conforms(world: World, backend: str, behaviour: str) -> None:
    check_backend(world, SUBJECTS[backend], behaviour)


# The backend command


def print_and_write(*lines: object) -> list[str]:
    """An agent that does the phase and prints these lines."""
    printed = "".join(f"print({(line if isinstance(line, str) else json.dumps(line))!r});" for line in lines)
    return [sys.executable, "-c", printed + "open('made.txt', 'w').close(); open('proof.txt', 'w').close()"]


CODEX = {"type": "turn.completed", "usage": {"input_tokens": 24763, "cached_input_tokens": 24448, "output_tokens": 122}}
GEMINI_TOKENS = {"prompt": 100, "candidates": 7, "cached": 60, "thoughts": 3, "total": 110}
GEMINI = {"response": "Done.", "stats": {"models": {"a": {"tokens": GEMINI_TOKENS}}}}
GEMINI_STREAM = {"type": "result", "stats": {"total_tokens": 110, "input_tokens": 100, "output_tokens": 10, "cached": 60, "models": {}}}
OPENCODE = {"type": "step_finish", "part": {"cost": 0.25, "tokens": {"input": 5, "output": 6, "cache": {"read": 70, "write": 8}}}}
OWN = {"model": "x-1", "usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 4}, "cost_usd": 0.5}


@pytest.mark.parametrize(
    ("lines", "figures", "cost"),
    [
        ((CODEX, "and words {not json}", CODEX), (630, 244, 48_896, None), None),
        ((json.dumps(GEMINI, indent=2),), (40, 10, 60, None), None),
        ((GEMINI_STREAM,), (40, 10, 60, None), None),
        ((OPENCODE,), (5, 6, 70, 8), 0.25),
        ((OWN,), (1, 2, 3, 4), 0.5),
    ],
    ids=["codex", "gemini", "gemini-stream", "opencode", "own"],
)
def test_figures_come_from_what_the_agent_prints(world: World, lines: tuple, figures: tuple, cost: float | None) -> None:
    spec = world.spec(backend="command", steps=STEPS, gates=GATES, options={"command": print_and_write(*lines)})
    result = world.run(spec).result
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    assert tuple(result.usage[name] for name in names) == figures
    assert (result.cost_usd, result.tokens_used) == (cost, sum(figure for figure in figures if figure))


def test_agent_that_prints_no_figures_leaves_them_unknown(world: World) -> None:
    spec = world.spec(backend="command", steps=STEPS, gates=GATES, options={"command": print_and_write("All done.")})
    result = world.run(spec).result
    assert (result.status, result.tokens_used, result.cost_usd, result.usage) == (ResultStatus.SUCCESS, None, None, {})
    assert [entry["text"] for entry in world.transcript(spec)] == ["All done."]


def test_prompt_comes_as_a_file_where_the_arguments_name_it_with_the_run_context_first(world: World) -> None:
    copy = "cp \"$1\" prompt-seen.md; echo made > made.txt; echo proof > proof.txt"
    command = ["/bin/sh", "-c", copy, "agent", "{prompt_file}", "--model={model}"]
    context = str(world.data / "run" / "context.md")
    spec = world.spec(backend="command", model="m-1", steps=STEPS, gates=GATES, options={"command": command}, context_file=context)
    result = world.run(spec).result
    assert result.status == ResultStatus.SUCCESS, result.errors
    seen = user_git(world.project, "show", f"{result.head_commit}:prompt-seen.md")
    assert seen.startswith("# The repository") and "Write made.txt" in seen and "src/app.py" in seen


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, NOT_CONFIGURED), ({"command": ["no-such-agent-anywhere"]}, "the command no-such-agent-anywhere cannot be run here")],
)
def test_agent_that_is_not_there_is_a_missing_agent(world: World, options: dict[str, object], message: str) -> None:
    result = world.run(world.spec(backend="command", steps=STEPS, options=options)).result
    assert result.failure_reason == Failure.NEEDS_AGENT and result.errors[0].startswith(message)


# The other roles


REVIEW = {
    "summary": "It will do.",
    "findings": [
        {"severity": "major", "place": "src/app.py:1", "message": "It prints.", "suggestion": "Return it.", "evidence": "`print('hello')`"},
        {"severity": "critical", "place": "nowhere", "message": "All is lost.", "suggestion": "", "evidence": "a feeling"},
    ],
    "opinions": [{"gate": 3, "opinion": "does_not_hold", "evidence": "README.md says nothing of it"}],
}


def ask(world: World, kind: TaskType, answer: object, **payload: object) -> TaskSpec:
    role = {TaskType.REVIEW: "reviewer", TaskType.GENERATE: "generator", TaskType.UPDATE_CONTEXT: "context_updater"}[kind]
    command = [sys.executable, "-c", f"print('I looked.'); print({json.dumps(answer)!r})"]
    return world.spec(backend="command", type=kind, role=Role(role), options={"command": command}, payload=payload)


def test_reviewer_keeps_findings_that_a_file_shows_and_shows_opinions_as_such(world: World) -> None:
    unverified = [{"position": 3, "text": "It reads well"}]
    spec = ask(world, TaskType.REVIEW, REVIEW, moment="before", path="README.md", findings=[], changed=[], unverified=unverified)
    result = world.run(spec).result
    assert result.status == ResultStatus.SUCCESS, result.errors
    found = [(finding["severity"], finding["category"], finding["message"]) for finding in result.report["findings"]]
    assert found == [
        ("major", "semantic", "It prints. Evidence: `print('hello')`"),
        ("info", "semantic", "All is lost. (It names no file of the repository as evidence.)"),
        ("minor", "opinion", 'In a reader\'s opinion "It reads well": does not hold. README.md says nothing of it'),
    ]
    assert result.report["semantic"]["judged"] and result.report["semantic"]["note"] == "It will do."


def test_generator_adds_notes_without_headings_at_the_end_of_the_document(world: World) -> None:
    spec = ask(world, TaskType.GENERATE, {"notes": "## Steps\n- see `src/app.py:1`"}, path="PRPs/x.md", text="# X\n\n## Steps\n\nOne.\n")
    result = world.run(spec).result
    assert result.status == ResultStatus.SUCCESS, result.errors
    text = user_git(world.project, "show", f"{result.head_commit}:PRPs/x.md")
    assert text == "# X\n\n## Steps\n\nOne.\n\n## Notes from the repository\n\nSteps\n- see `src/app.py:1`"


def test_context_updater_puts_the_summary_into_the_front_matter(world: World) -> None:
    commit_files(world.project, {"PRPs/x.md": "---\nstatus: new\n---\n# X\n"})
    spec = ask(world, TaskType.UPDATE_CONTEXT, {"summary": "It greets,\nin src/app.py."}, path="PRPs/x.md", front={"status": "done"})
    result = world.run(spec).result
    assert result.status == ResultStatus.SUCCESS, result.errors
    text = user_git(world.project, "show", f"{result.head_commit}:PRPs/x.md")
    assert text == '---\nstatus: "done"\nsummary: "It greets, in src/app.py."\n---\n# X'


@pytest.mark.parametrize("said", ["nothing of use", {"summary": 3, "findings": [], "opinions": []}])
def test_reviewer_whose_model_answers_in_another_shape_has_failed(world: World, said: object) -> None:
    spec = ask(world, TaskType.REVIEW, said, moment="before", path="README.md", findings=[], changed=[])
    result = world.run(spec).result
    assert (result.failure_reason, result.errors) == (Failure.AGENT_ERROR, ("the agent printed no usable result",))


def test_roles_do_without_a_model_that_is_not_there_and_say_so(world: World) -> None:
    spec = world.spec(backend="command", type=TaskType.GENERATE, payload={"path": "PRPs/x.md", "text": "# X\n"})
    result = world.run(spec).result
    assert result.status == ResultStatus.SUCCESS
    assert user_git(world.project, "show", f"{result.head_commit}:PRPs/x.md") == "# X"
    assert NOT_CONFIGURED in [line["message"] for line in world.log(spec)]
