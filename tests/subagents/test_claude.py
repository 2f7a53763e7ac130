"""The real Claude Agent SDK and its program against a stand-in for the Messages API: how each scenario ends.

Needs the optional extra (requirements-agents.txt), which requirements-dev.txt includes.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from uuid import uuid4

import pytest

from subagents import inbox, launcher
from subagents.backends.claude import NO_KEY, bring_session, why_not
from subagents.contract import USAGE_FIGURES, Failure, GateStatus, Role, TaskResult, TaskSpec, TaskType
from subagents.credentials import offer
from subagents.launcher import WRAPPER
from subagents.processes import SIGTERM
from subagents.spending import PROVIDER_FIGURES
from tests.patience import PATIENCE
from tests.subagents.conformance import BEHAVIOURS, LIMIT_SECONDS, Subject, check_backend
from tests.subagents.conftest import World, commit_files, marked, user_git, wait_for
from tests.subagents.messages_api import HANG, MessagesApi, Reply, Turn, answer, messages_api, said, write
from tests.subagents.scenarios import ASKED_ABOUT, GATES, HOSTILE, SCENARIOS, STEPS, Loot, done, finished, obeys
from tests.subagents.test_sandbox import HERE
from tests.subagents.test_tool_servers import AGENT, SECRET, SERVER, http_server

pytestmark = pytest.mark.process


def test_a_session_is_continued_without_following_what_the_agent_put_in_its_place(tmp_path: Path) -> None:
    canary, place = tmp_path / "secret_key", tmp_path / "new" / "projects" / "key"
    canary.write_text("the server's")
    elsewhere = tmp_path / "other" / "session.jsonl"
    elsewhere.parent.mkdir()
    elsewhere.write_text("another project's")
    for number, hostile in enumerate(("file", "folder", "all", "pipe", "honest")):
        projects = tmp_path / str(number) / "claude" / "projects"
        (projects if hostile == "all" else projects / "key").parent.mkdir(parents=True)
        if hostile == "all":
            projects.symlink_to(tmp_path)
        elif hostile == "folder":
            (projects / "key").symlink_to(elsewhere.parent)
        else:
            (projects / "key").mkdir()
        if hostile == "file":
            (projects / "key" / "session.jsonl").symlink_to(canary)
        elif hostile == "pipe":
            os.mkfifo(projects / "key" / "session.jsonl")
        elif hostile == "honest":
            (projects / "key" / "session.jsonl").write_text("its own")
        bring_session(str(tmp_path / str(number)), "session.jsonl", str(place))
        assert (place / "session.jsonl").exists() == (hostile == "honest"), hostile
    assert (place / "session.jsonl").read_text() == "its own"


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Most of an attempt's processor time is the import of the SDK: have it done once, as a host does."""
    assert launcher.agent_fork_server.warm(120)


@pytest.fixture
def api() -> Iterator[MessagesApi]:
    behaviours = {name: (lambda turn, name=name: behave(turn, name)) for name in BEHAVIOURS}
    with messages_api({**SCENARIOS, **behaviours}) as running:
        yield running


def start(spec: TaskSpec, key: str, python: str = "") -> AbstractContextManager[object]:
    """Start the attempt as a host does or, with a `python` of its own, as the launcher starts one; with a key for that attempt."""
    if not python:
        return nullcontext(launcher.launch(spec.attempt_dir, key))
    pipe = offer(key)
    environment = {"PATH": os.environ["PATH"], "HOME": spec.attempt_dir, "CE_ATTEMPT": spec.attempt_dir, "CE_KEY_FD": str(pipe)}
    process = subprocess.Popen([python, "-I", "-S", WRAPPER, spec.attempt_dir], env=environment, pass_fds=[pipe], start_new_session=True)
    os.close(pipe)
    return process


def order(world: World, api: MessagesApi, **changes: object) -> TaskSpec:
    values: dict[str, object] = {
        **asked_of(api),
        "steps": STEPS,
        "gates": GATES,
        "files_modified": ("calc.py", "test_calc.py"),
        "context_file": str(world.data / "run" / "context.md"),
    }
    return world.spec(**{**values, **changes})


def asked_of(api: MessagesApi) -> dict[str, object]:
    """What an attempt of this backend is told of it, in the strongest sandbox of this machine."""
    options = {"base_url": api.address, "max_retries": 2}
    return {"backend": "claude", "model": "haiku", "options": options, "sandbox": HERE[0]}


def ended(world: World, api: MessagesApi, scenario: str, **changes: object) -> tuple[TaskSpec, TaskResult]:
    """The attempt's spec, and its result after it has ended."""
    spec = order(world, api, **changes)
    with start(spec, f"fake-{scenario}"):
        result = world.ended(spec, 120).result
    assert result is not None, Path(spec.attempt_dir, "wrapper.err").read_text()
    return spec, result


def behave(turn: Turn, behaviour: str) -> Reply:
    """The model of the conformance kit's behaviours."""
    told = [{"number": 1, "done": True, "note": ""}, {"number": 2, "done": behaviour != "fails", "note": ""}]
    replies = [said(write(f"{turn.cwd}/made.txt", "made\n")), said(done(1))]
    if behaviour == "works":
        replies.append(said(write(f"{turn.cwd}/proof.txt", "proof\n")))
    if behaviour in ("hangs", "cancelled"):
        replies.append(Reply(fault=HANG))
    last = said(answer(status="blocked" if behaviour == "fails" else "done", steps=told, summary="As asked."))
    return [*replies, last][min(turn.number, len(replies))]


def conform(world: World, api: MessagesApi, behaviour: str) -> tuple[TaskSpec, TaskResult]:
    """Carry out one behaviour of the kit, and look at the heartbeats of the one that is cancelled."""
    specs: list[TaskSpec] = []

    @contextmanager
    def begin(spec: TaskSpec, behaviour: str) -> Iterator[None]:
        specs.append(spec)
        launcher.launch(spec.attempt_dir, f"fake-{behaviour}")
        if behaviour == "cancelled":
            wait_for(lambda: (beat := world.seen(spec).heartbeat) is not None and beat.progress.startswith("Step 2 of 2: "), 120)
            beat = world.seen(spec).heartbeat
            assert beat.cost_usd and (beat.tokens_used or 0) > 3_000
        yield

    subject = Subject("claude", lambda _, __: asked_of(api), begin)
    result = check_backend(world, subject, behaviour)
    assert result.session or behaviour == "hangs"  # which is ended by the clock, on a slow machine before it has begun
    return specs[0], result


def kinds(world: World, spec: TaskSpec, kind: str) -> list[dict[str, object]]:
    return [line for line in world.log(spec) if line["kind"] == kind]


@dataclass(frozen=True)
class Ends:
    """How a scenario ends; `tokens` and `cost` (US dollars) are None where the provider has charged nothing.

    ANY where that depends on how far it came until it was ended: the figures are then the provider's all the same.
    """

    reason: str  # "" is a success
    message: str  # what the first error begins with
    tokens: object
    cost: object
    steps: object
    fault: str = ""


KEPT = "the work so far is kept"
TABLE = {
    # Of the conformance kit:
    "works": Ends("", "", 12_938, 0.00057665, 2),
    "fails": Ends("agent_error", "the agent is blocked: As asked.", 9_507, 0.0005129, 1),
    "lies": Ends("gate_failed", 'gate 1 "Both are there" failed', 9_507, 0.0005129, 2),
    "hangs": Ends("phase_time_limit", f"not done within {LIMIT_SECONDS:g} s; {KEPT}", ANY, ANY, ANY),
    "cancelled": Ends("cancelled", "cancelled", ANY, ANY, 1),
    # Of tests/subagents/scenarios.py:
    "repairs": Ends("", "", 27_986, 0.00085265, 2),
    "edits_undeclared": Ends("", "", 20_200, 0.00071185, 2),
    "limited_twice": Ends("", "", 20_200, 0.00071185, 2),
    "limited": Ends("rate_limited", "the API accepts no requests until 20", None, None, 0),
    "limited_for_who_knows": Ends("rate_limited", "the API accepts no requests and does not say until when (429)", None, None, 0),
    "overloaded": Ends("agent_error", "API Error: 529 Overloaded", None, None, 0, fault="overloaded"),
    "no_credit": Ends("agent_error", "", None, None, 0, fault="no_credit"),
    "unknown_model": Ends("agent_error", "", None, None, 0, fault="unknown_model"),
    "refused_key": Ends("agent_error", "the API key was refused", None, None, 0, fault="key_refused"),
    "cut_once": Ends("", "", 23_215, 0.00108995, 2),
    "malformed": Ends("gate_failed", 'gate 1 "calc.py and its test exist" failed', 6_207, 0.00045055, 2),
    "refusal": Ends("agent_error", "the model refused: API Error", 6_207, 0.00045055, 0),
    "max_tokens": Ends("agent_error", "API Error: Claude's response exceeded the 128000 output token maximum", 12_938, 0.00057665, 0),
    "over_budget": Ends("budget", "the budget of $0.3 for this attempt is used up", ANY, ANY, 0),
    "no_result": Ends("agent_error", "the agent gave no usable result: the structured result is not an object", 6_207, 0.00045055, 0),
}
LIMITS: dict[str, dict[str, object]] = {"over_budget": {"max_cost_usd": 0.3}}


def repaired_phase_has_a_commit_a_step_and_a_log_that_a_person_can_read(world: World, spec: TaskSpec, result: TaskResult) -> None:
    subjects = user_git(world.project, "log", "--reverse", "--format=%s", f"{spec.base_commit}..{result.head_commit}").split("\n")
    assert [subject.removeprefix("PRP-44.2.1: ") for subject in subjects] == [
        "Step 1 - Write add() in calc.py",
        "Step 2 - Test it in test_calc.py",
        "Step 2 - what came after it",
        "Complete - Core",
    ]
    assert [gate.status for gate in result.gates] == [GateStatus.PASSED, GateStatus.PASSED]
    assert result.files_created == ("calc.py", "test_calc.py")
    said = [str(line["message"]) for line in world.log(spec)]
    for part in ("Write calc.py", "The test fails: it subtracts.", "Edit calc.py", "1 failed in", "1 passed in"):
        assert any(part in line for line in said), part
    assert not any("tool_use_id" in line or "message_start" in line for line in said)
    transcript_tells_who_said_and_did_what(world.transcript(spec))


def transcript_tells_who_said_and_did_what(entries: list[dict[str, Any]]) -> None:
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    told = [(entry["kind"], entry["text"]) for entry in entries]
    made, edited = ("edit", "Write calc.py"), ("edit", "Edit calc.py")
    order = [("message", "I write the function."), ("tool call", "Write calc.py"), made, edited]
    assert [one for one in told if one in order] == order
    change = next(entry for entry in entries if (entry["kind"], entry["text"]) == edited)
    assert change["edit"] == "--- calc.py\n+++ calc.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a - b\n+    return a + b\n"
    new = next(entry for entry in entries if (entry["kind"], entry["text"]) == made)
    assert "+def add(a, b):" in new["edit"] and new["duration"] >= 0
    call = entries[new["of"] - 1]
    assert call["kind"] == "tool call" and call["tokens"] == {
        "input_tokens": 11, "output_tokens": 34, "cache_read_tokens": 0, "cache_write_tokens": 3000,
    }  # fmt: skip
    run = next(entry for entry in entries if entry["kind"] == "error" and entry["tool"] == "Bash")
    assert "1 failed" in run["output"] and entries[run["of"] - 1]["input"].endswith("test_calc.py")


def work_before_the_budget_was_used_up_is_kept_on_the_attempts_reference(world: World, spec: TaskSpec, result: TaskResult) -> None:
    names = user_git(world.project, "ls-tree", "--name-only", spec.attempt_ref).split("\n")
    assert {"part-0.txt", "part-1.txt"} & set(names)
    assert 0.2 < result.cost_usd <= 0.3, "the limit is used, and not passed"


def pause_is_as_long_as_the_api_says(world: World, spec: TaskSpec, result: TaskResult) -> None:
    left = datetime.fromisoformat(result.retry_at) - datetime.now(UTC)
    assert timedelta(seconds=3_600 - 120) < left <= timedelta(seconds=3_601)


def nobody_makes_a_moment_up(world: World, spec: TaskSpec, result: TaskResult) -> None:
    assert result.retry_at == ""


CHECKS = {
    "repairs": repaired_phase_has_a_commit_a_step_and_a_log_that_a_person_can_read,
    "over_budget": work_before_the_budget_was_used_up_is_kept_on_the_attempts_reference,
    "limited": pause_is_as_long_as_the_api_says,
    "limited_for_who_knows": nobody_makes_a_moment_up,
}


@pytest.mark.parametrize("scenario", TABLE)
def test_scenario_ends_as_the_table_says(world: World, api: MessagesApi, scenario: str) -> None:
    expected = TABLE[scenario]
    if scenario in BEHAVIOURS:
        spec, result = conform(world, api, scenario)
    else:
        spec, result = ended(world, api, scenario, **LIMITS.get(scenario, {}))
    assert (result.failure_reason, result.fault) == (expected.reason, expected.fault)
    assert (result.errors[0] if result.errors else "").startswith(expected.message)
    assert result.steps_completed == expected.steps
    assert result.tokens_used == expected.tokens
    assert result.cost_usd == (pytest.approx(expected.cost) if isinstance(expected.cost, float) else expected.cost)
    assert api.side_calls == 0, "a call that nobody asked for would be billed"
    _figures_are_the_providers(world, api, spec, result)
    if scenario in CHECKS:
        CHECKS[scenario](world, spec, result)
    wait_for(lambda: not marked(spec.attempt_dir))


WORKS = Ends("", "", 20_200, 0.00071185, 2)
TOGETHER = {
    **dict.fromkeys(("tool_fails", "tool_is_not_there", "tool_is_given_nonsense", "step_is_not_there"), WORKS),
    **dict.fromkeys(("command_fails", "command_prints_a_lot", "bad_gateway_once"), WORKS),
    "tools_at_once": Ends("", "", 20_249, 0.00073635, 2),
    "says_a_lot": Ends("", "", 16_514, 0.0006488, 2),
    "says_nothing": Ends("agent_error", "the agent gave no usable result: the structured result is not an object", 9_093, 0.0011583, 0),
    "says_blanks": Ends("agent_error", "the agent gave no usable result: the structured result is not an object", 9_114, 0.0011688, 0),
    "server_error": Ends("agent_error", "API Error: 500 Internal server error", None, None, 0, fault="overloaded"),
    "forbidden": Ends("agent_error", "the API key was refused", None, None, 0, fault="key_refused"),
    "too_large": Ends("agent_error", "Request too large", None, None, 0),
    "prompt_too_long": Ends("agent_error", "Prompt is too long", None, None, 0),
    "cut_always": Ends("agent_error", "the agent gave no usable result: the structured result is not an object", 18_529, 0.00130565, 0),
    "blocked": Ends("agent_error", "the agent is blocked: There is no Python here.", 3_038, 0.0003896, 0),
    "claims_steps": Ends("gate_failed", 'gate 1 "calc.py and its test exist" failed', 3_038, 0.0003896, 2),
}


ASTRAY, LATE = Ends("", "", 20_207, 0.00071535, 2), (6_214, 0.00045405, 1)
MORE = {
    **dict.fromkeys(("slow_stream", "page_of_a_gateway", "overloaded_once", "too_long_for_a_gateway", "by_a_bearer_token"), WORKS),
    **dict.fromkeys(("command_is_denied", "commits_itself", "leaves_a_process", "asks_mcp_by_stdio", "asks_mcp_by_http"), WORKS),
    **dict.fromkeys(("sees_a_picture", "says_odd_characters", "step_is_told_twice"), ASTRAY),
    "writes_a_megabyte": WORKS,
    "thinks": Ends("", "", 20_242, 0.00073285, 2),
    "large_prompt": Ends("", "", 212_200, 0.01055565, 2),
    "falls_back": Ends("", "", 20_200, 0.012607, 2),
    "delegates": Ends("", "", 26_407, 0.0011624, 2),
    "empty_once": Ends("", "", 20_200, ANY, 2),  # what had no answer is booked at its estimate, which follows from the prompt's size
    "error_in_the_stream": Ends("", "", 23_215, 0.00108995, 2),
    "redirected": Ends("agent_error", "API Error: Can't reach the API server", None, None, 0),
    "key_expires": Ends("agent_error", "the API key was refused", *LATE, fault="key_refused"),
    "credit_ends": Ends("agent_error", "Credit balance is too low", *LATE, fault="no_credit"),
    "limited_later": Ends("rate_limited", "the API accepts no requests until 20", *LATE),
    "model_retires": Ends("agent_error", "There's an issue with the selected model (claude-haiku-5-5).", *LATE, fault="unknown_model"),
    "fails_later": Ends("agent_error", "API Error: 500 Internal server error", *LATE, fault="overloaded"),
    "refuses_later": Ends("agent_error", "the model refused: API Error", 12_945, 0.00058015, 1),
    "nothing_fits": Ends("budget", "the budget of $0.0001 for this attempt is used up", None, None, 0),
    "is_out_of_time": Ends("phase_time_limit", "not done within 30 s; the work so far is kept", ANY, ANY, ANY),
    "is_stopped_in_a_tool": Ends("cancelled", "cancelled", 3_038, 0.0003896, 0),
    "is_told_meanwhile": Ends("", "", 20_193, 0.00070835, 2),
    "is_answered_by_rule": Ends("", "", 20_193, 0.00070835, 2),
}
MORE_TIME = {"is_out_of_time": 30.0}
TOOLS: dict[str, dict[str, object]] = {"command_is_denied": {"denied": ["Bash"]}, "delegates": {"subagents": True}}


def orders(world: World, api: MessagesApi, http: str) -> Iterator[tuple[str, TaskSpec]]:
    """The attempts of MORE; `http` is the address of an MCP server."""
    program = world.data.parent / "tracker.py"
    program.write_text(SERVER)
    stdio = {"command": [sys.executable, str(program)], "env": {"TRACKER_TOKEN": "${TRACKER_TOKEN}"}, "required": True}
    asked = {"url": http, "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"}, "required": True}
    tools = {**TOOLS, "asks_mcp_by_stdio": {"servers": {"tracker": stdio}}, "asks_mcp_by_http": {"servers": {"search": asked}}}
    for name in MORE:
        options: dict[str, object] = {"base_url": api.address, "max_retries": 2, "private_networks": ["127.0.0.0/8"]}
        options |= {"tools": tools[name]} if name in tools else {}
        options |= {"fallback_model": "sonnet", "max_retries": 4} if name == "falls_back" else {}
        changes: dict[str, object] = {"timeout_seconds": MORE_TIME.get(name, PATIENT_SECONDS)}
        changes |= {"max_cost_usd": 0.0001} if name == "nothing_fits" else {}
        changes |= {"gates": ()} if name in ("is_told_meanwhile", "is_answered_by_rule") else {}
        changes |= {"policy": {"paths": [str(program)]}} if name == "asks_mcp_by_stdio" else {}
        yield name, order(world, api, task_id=f"phase-{name}", key=name, options=options, **changes)


def steer(world: World, name: str, spec: TaskSpec) -> None:
    """What people do to a running attempt; safe to repeat."""
    seen = world.seen(spec)
    if name == "is_told_meanwhile" and Path(spec.checkout, "calc.py").exists():
        inbox.put(spec.attempt_dir, inbox.Letter(0, "anna", "2026-01-01T10:00:00+00:00", "Take care."))
    # Its answer has been read to the end, so that what it cost is known.
    counted = seen.heartbeat is not None and seen.heartbeat.tokens_used == MORE["is_stopped_in_a_tool"].tokens
    if name == "is_stopped_in_a_tool" and Path(spec.checkout, "begun").exists() and seen.started is not None and counted:
        with suppress(ProcessLookupError):
            os.kill(seen.started.pid, SIGTERM)
    if name == "is_answered_by_rule" and seen.heartbeat is not None and seen.heartbeat.question:
        inbox.put_answer(spec.attempt_dir, int(seen.heartbeat.question["number"]), "Decide yourself.", "default answer")


AT_ONCE, PATIENT_SECONDS = 12, 250.0


def test_scenarios_that_run_beside_each_other_end_as_their_table_says(world: World, api: MessagesApi) -> None:
    specs = {name: order(world, api, task_id=f"phase-{name}", key=name, timeout_seconds=PATIENT_SECONDS) for name in TOGETHER}
    _end_as(world, api, specs, TOGETHER)


def test_more_scenarios_beside_each_other_end_as_their_table_says(world: World, api: MessagesApi) -> None:
    commit_files(world.project, {".claude/agents/tester.md": AGENT})
    with http_server([]) as address:
        _end_as(world, api, dict(orders(world, api, address)), MORE)


def _end_as(world: World, api: MessagesApi, specs: dict[str, TaskSpec], table: dict[str, Ends]) -> None:
    """Run all of them, some at once, and compare each with its row; what they used is what the provider charged."""
    waiting, running, wrong = list(specs), list[str](), []
    secrets = [{"name": "TRACKER_TOKEN", "value": SECRET, "uses": ["servers"]}]
    until = time.monotonic() + 280 * PATIENCE
    while waiting or running:
        assert time.monotonic() < until, (running, waiting)
        while waiting and len(running) < AT_ONCE:
            running.append(waiting.pop(0))
            key = f"{'Bearer ' if running[-1] == 'by_a_bearer_token' else ''}fake-{running[-1]}"
            launcher.launch(specs[running[-1]].attempt_dir, key, secrets)
        for name in list(running):
            steer(world, name, specs[name])
            seen = world.seen(specs[name])
            if seen.started is None or seen.held:
                continue
            running.remove(name)
            result, expected = seen.result, table[name]
            assert result is not None, Path(specs[name].attempt_dir, "wrapper.err").read_text()
            message = (result.errors or ("",))[0]
            said = expected.message if message.startswith(expected.message) and (message == "") == (expected.message == "") else message
            cost = None if result.cost_usd is None else round(result.cost_usd, 10)
            found = Ends(result.failure_reason, said, result.tokens_used, cost, result.steps_completed, result.fault)
            if found != expected:
                wrong.append((name, found))
            charged, counts = _sums(api.charged.get(name, [])), result.tokens_used or 0
            if result.failure_reason not in (Failure.CANCELLED, Failure.PHASE_TIME_LIMIT) and sum(charged.values()) != counts:
                wrong.append((name, f"charged {charged}, counted {result.usage}"))
        time.sleep(0.05)
    assert not wrong, "\n".join(map(str, wrong))
    assert api.side_calls == 0


def _sums(usages: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(usage[given] for usage in usages) for name, given in zip(USAGE_FIGURES, PROVIDER_FIGURES, strict=True)}


def _figures_are_the_providers(world: World, api: MessagesApi, spec: TaskSpec, result: TaskResult) -> None:
    """The stream's sums are what was charged for, and the cost is the one that the agent's program reckons."""
    charged = [_sums([*api.usages, *api.broken])]
    if result.failure_reason in (Failure.CANCELLED, Failure.PHASE_TIME_LIMIT):
        charged.append(_sums([*api.usages, *api.broken[:-1]]))  # ended before the first word of the last answer came
    if result.usage:
        assert {name: result.usage[name] for name in USAGE_FIGURES} in charged
        assert sum(request["cost_usd"] for request in result.usage["requests"]) == pytest.approx(result.cost_usd)
    for line in kinds(world, spec, "agent_ended"):
        assert (result.cost_usd or 0) == pytest.approx(line["cost_usd"], rel=1e-9)


def test_without_the_extra_the_attempt_says_how_to_install_it(world: World, api: MessagesApi, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    spec = order(world, api)
    with start(spec, "fake-passes", python=str(tmp_path / "bare" / "bin" / "python")):
        result = world.ended(spec, 30).result
    assert result.failure_reason == Failure.NEEDS_AGENT
    assert "make run AGENTS=1" in result.errors[0] and "claude_agent_sdk is missing" in result.errors[0]


def test_without_a_key_the_attempt_says_where_to_enter_one(world: World, api: MessagesApi) -> None:
    spec = order(world, api)
    with start(spec, ""):
        result = world.ended(spec, 30).result
    assert (result.failure_reason, result.errors) == (Failure.NEEDS_AGENT, (NO_KEY,))


def test_without_network_to_the_api_the_attempt_says_so_and_that_all_others_would_meet_it(world: World, api: MessagesApi) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = {"base_url": f"http://127.0.0.1:{free.getsockname()[1]}", "max_retries": 1}
        _, result = ended(world, api, "repairs", options=nowhere)
    assert (result.failure_reason, result.fault) == (Failure.AGENT_ERROR, "unreachable")
    assert result.errors[0].startswith("127.0.0.1 cannot be reached: ")


def test_request_under_way_when_the_attempt_is_cancelled_is_booked_at_its_estimate(world: World, api: MessagesApi) -> None:
    spec = order(world, api)
    launcher.launch(spec.attempt_dir, "fake-silent")
    wait_for(lambda: api.bodies, 120)
    os.kill(world.seen(spec).started.pid, SIGTERM)
    result = world.ended(spec, 60).result
    assert result.failure_reason == Failure.CANCELLED and result.cost_usd and result.cost_usd > 0
    assert result.errors[1].startswith("1 request was under way: $0.0")
    assert [request["estimated"] for request in result.usage["requests"]] == [True]
    assert sum(request["cost_usd"] for request in result.usage["requests"]) == pytest.approx(result.cost_usd)


def test_exact_model_with_an_effort_a_fallback_and_a_bearer_token(world: World, api: MessagesApi) -> None:
    options = {"base_url": api.address, "effort": "low", "fallback_model": "haiku"}
    spec = order(world, api, model="claude-opus-5-5", options=options, gates=())
    with start(spec, "Bearer fake-works"):
        result = world.ended(spec, 120).result
    assert (result.failure_reason, result.errors) == ("", ())
    assert {body["model"] for body in api.bodies} == {"claude-opus-5-5"}
    assert result.cost_usd and api.bodies[0]["output_config"]["effort"] == "low"


def test_what_a_person_says_is_read_with_the_next_tool_call_once_and_is_in_the_log(world: World, api: MessagesApi) -> None:
    spec = order(world, api, gates=())
    words = "Use $(touch /tmp/x) `as is`."
    with start(spec, "fake-listens"):
        wait_for(lambda: Path(spec.checkout, "calc.py").exists(), 120)
        for _ in range(2):
            inbox.put(spec.attempt_dir, inbox.Letter(0, "anna", "2026-01-01T10:00:00+00:00", words))
        wait_for(lambda: inbox.was_read(spec.attempt_dir, 0), 120)
        inbox.put(spec.attempt_dir, inbox.Letter(0, "anna", "2026-01-01T10:00:00+00:00", words))
        result = world.ended(spec, 120).result
    assert (result.failure_reason, result.errors) == ("", ())
    heard = [json.dumps(body["messages"]).count("Use $(touch /tmp/x) `as is`.") for body in api.bodies]
    assert heard[0] == 0 and heard[-1] == 1
    [line] = kinds(world, spec, "message")
    assert (line["by"], line["message"]) == ("anna", f"anna says: {words}")


def test_agent_waits_for_a_persons_answers_and_no_clock_runs_meanwhile(world: World, api: MessagesApi) -> None:
    """It waits for longer than its time limit."""
    spec = order(world, api, gates=(), timeout_seconds=30.0)

    def asked() -> dict[str, object]:
        beat = world.seen(spec).heartbeat
        return beat.question if beat is not None else {}

    with start(spec, "fake-asks_a_person"):
        wait_for(lambda: asked().get("number") == 0, 120)
        assert asked() == {"number": 0, "text": "Which port?", "answers": ["80", "8080"]}
        since = time.monotonic()
        wait_for(lambda: time.monotonic() - since > 31, 60)
        inbox.put_answer(spec.attempt_dir, 0, "8080", "anna")
        wait_for(lambda: asked().get("number") == 1, 60)
        assert asked()["text"] == "Which name?" and asked()["answers"] == ["old", "new"]
        inbox.put_answer(spec.attempt_dir, 1, "new", "anna")
        result = world.ended(spec, 120).result
    assert (result.failure_reason, result.errors) == ("", ())
    assert result.elapsed_seconds < 30
    told = json.dumps(api.bodies[-1]["messages"])
    assert "anna answers: 8080" in told and "anna answers: new" in told
    assert [line["message"] for line in kinds(world, spec, "answer")] == ["anna answers: 8080", "anna answers: new"]


def test_reviewer_gets_the_diff_and_the_gates_results_and_may_ask_git(world: World, api: MessagesApi) -> None:
    base = user_git(world.project, "rev-parse", "HEAD")
    commit_files(world.project, {"calc.py": "def add(a, b):\n    return a + b\n", "prp.md": "# PRP\n"})
    work = {"base": base, "head": user_git(world.project, "rev-parse", "HEAD")}
    gates = [{"status": "passed", "text": "The test passes", "how": "`pytest -q` ended with exit code 0"}]
    payload = {"moment": "after", "path": "prp.md", "findings": [], "changed": [], "unverified": [], "work": work, "gates": gates}
    role = {"type": TaskType.REVIEW, "role": Role.REVIEWER, "steps": (), "payload": payload}
    _, result = ended(world, api, "reviews", gates=(), **role)
    assert (result.failure_reason, result.errors) == ("", ())
    asked, answered = json.dumps(api.bodies[0]["messages"]), json.dumps(api.bodies[1]["messages"])
    assert "+    return a + b" in asked and "- passed: The test passes (`pytest -q` ended with exit code 0)" in asked
    assert "+def add(a, b)" in answered and "git was not asked: only log, show, diff, blame can be asked" in answered


def test_unknown_model_is_refused_before_anything_is_asked(world: World, api: MessagesApi) -> None:
    _, result = ended(world, api, "passes", model="haiku-9")
    assert result.failure_reason == Failure.AGENT_ERROR and "haiku, sonnet, opus" in result.errors[0]
    assert api.bodies == []


def test_the_programs_questions_are_answered_yes_in_the_checkout_and_no_with_the_reason_elsewhere(world: World, api: MessagesApi) -> None:
    spec, result = ended(world, api, "asks", steps=STEPS[:1], gates=())
    assert (result.failure_reason, result.errors) == ("", ())
    assert set(result.files_created) == set(ASKED_ABOUT), "it wrote all of them, and nothing else"
    refused = [str(line["message"]) for line in kinds(world, spec, "tool_refused")]
    calls = ["Write /etc/ce-outside", "Write linked/ce-outside", "Read /etc/passwd", "Grep root"]
    assert [line.partition(":")[0] for line in refused] == calls
    assert all("is outside the checkout" in line for line in refused) and "leads to /etc/ce-outside" in refused[1]
    assert json.dumps(api.bodies[-1]["messages"]).count("is outside the checkout") == len(calls), "the agent is told why"


@pytest.mark.parametrize(
    ("tool", "given", "said"),
    [
        ("Bash", {"command": "rm -rf /"}, ""),
        ("Write", {"file_path": "a/../b"}, ""),
        ("Grep", {"pattern": "x"}, ""),
        ("Write", {"file_path": "../b"}, "outside the checkout"),
        ("Write", {"file_path": "out/b"}, "leads to"),
        ("Edit", {"file_path": 7}, "is not text"),
        ("Read", {"file_path": "a\0b"}, "is not text"),
        ("Glob", {"pattern": "*", "path": "/"}, "outside the checkout"),
        ("WebFetch", {"url": "https://x.example"}, "not among those"),
    ],
)
def test_a_tool_may_reach_what_is_in_the_checkout(tmp_path: Path, tool: str, given: dict[str, object], said: str) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout/out").symlink_to(tmp_path)
    reason = why_not(tool, given, str(tmp_path / "checkout"))
    assert (said in reason) if said else not reason


@pytest.mark.parametrize("level", HERE)
def test_agent_that_obeys_a_hostile_file_finds_no_secret_and_changes_nothing_outside(world: World, level: str, tmp_path: Path) -> None:
    commit_files(world.project, {"NOTES.md": HOSTILE})
    secret, outside = tmp_path / "secret", Path("/tmp", f"ce-outside-{uuid4().hex}")
    secret.write_text("not for agents")
    places = (outside, world.project / "README.md", world.project / ".git/hooks/post-commit")
    work = said(finished(steps=(1,)))
    with messages_api({f"hostile-{secret.name * 3}": lambda turn: obeys(turn, loot, work)}) as api:
        loot = Loot((secret,), places, world.project, int(api.address.rpartition(":")[2]))
        key = f"fake-hostile-{secret.name * 3}"
        spec, result = ended(world, api, key.removeprefix("fake-"), sandbox=level, steps=STEPS[:1], gates=())
    assert (result.failure_reason, result.errors, result.sandbox) == ("", (), level)
    stolen = user_git(world.project, "show", f"{result.head_commit}:stolen.txt")
    assert "PATH=" in stolen and "only the agent may use this port" in stolen, "it did look"
    assert "REACHED" not in stolen
    for hidden in (key, "not for agents"):
        assert hidden not in stolen
        assert not [path for path in Path(spec.attempt_dir).rglob("*") if path.is_file() and hidden.encode() in path.read_bytes()]
        assert not [path for path in (world.project / ".ce").rglob("*") if path.is_file() and hidden.encode() in path.read_bytes()]
    assert not outside.exists() and user_git(world.project, "status", "--porcelain", "--untracked-files=no") == ""
    assert user_git(world.project, "for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"
    refused = [str(line["message"]).partition(":")[0] for line in kinds(world, spec, "tool_failed")]
    assert refused == [f"Read {secret}", f"Write {outside}"]
