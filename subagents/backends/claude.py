"""The backend for Claude: it runs the Claude Agent SDK and the command line program that comes with it.

The SDK is optional (requirements-agents.txt) and is imported only when an attempt runs. docs/agents.md lists what its options
do and which of its reports are wrong; both were measured. In short: a run succeeds when it ends without an error and with a
structured result of the right shape. Figures come from the stream. The program and all that it starts are in the attempt's
sandbox (api_proxy_inside.py) and reach the API, and nothing else, through the API proxy, which alone has the key
(api_proxy.py). Nothing in the target repository configures the agent.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import shutil
import sys
import time

from subagents import inbox
from subagents.activity import WAITS, doing
from subagents.agent_tools import OTHER_NAMES, ToolPolicy
from subagents.backends import api_proxy_inside
from subagents.backends.base import AgentOutcome
from subagents.backends.claude_transcript import ClaudeTranscript, plain_text
from subagents.backends.repository_tools import give_skills, read_agents
from subagents.contract import EXACT_MODEL, USAGE_FIGURES, Failure, Fault, Role, SubagentError, replace
from subagents.credentials import api_key, secrets_for
from subagents.environment import site_packages
from subagents.files import open_regular
from subagents.network_access import variables
from subagents.open_repository import attached_repository
from subagents.processes import SIGKILL, SIGTERM
from subagents.prompting import answer_schema, check_answer
from subagents.purse import Purse, purse_of
from subagents.read_only_git import COMMANDS, ask_git
from subagents.redaction import redact
from subagents.reporting import title_of
from subagents.sandbox import command_environment, own_user, policy_for
from subagents.spending import UsageMeter
from subagents.told_prompt import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.backends.base import StepHook
    from subagents.contract import StepPlan, TaskSpec
    from subagents.reporting import Reporter

MODELS = ("haiku", "sonnet", "opus")
DEFAULT_MODEL = "sonnet"
API = "https://api.anthropic.com"
FILE_TOOLS = ("Read", "Write", "Edit", "Grep", "Glob")
READING_TOOLS = ["Read", "Grep", "Glob"]
ASK_TOOL, OWN_ASK_TOOL = "mcp__ce__ask_person", "AskUserQuestion"
MOST_QUESTIONS, QUESTION_CHARACTERS, MOST_ANSWERS = 20, 4_000, 6
LOOK_SECONDS = 0.5  # for an answer
STEP_TOOL, GIT_TOOL = "mcp__ce__step_done", "mcp__ce__git"
MAX_TURNS = 200
MESSAGE_BYTES = 64 * 1024 * 1024  # of one message of the program; a file that it writes or reads is in one. The SDK's own is 1 MiB
MAX_RETRIES = 4  # of one request, by the program, with growing pauses
LONGEST_PAUSE_SECONDS = 60.0  # the engine, not the program, waits for a longer pause
GRACE_SECONDS = 15.0  # before the wrapper's own limit, so that the work is kept
CLOSE_SECONDS = 3.0
TEXT_CHARACTERS, SENTENCE_CHARACTERS = 2_000, 400
INSTALL = "install it with `make run AGENTS=1`, or `pip install -r requirements-agents.txt`"
NO_KEY = "no API key: set ANTHROPIC_API_KEY where CE Web is started, or enter one on the settings page"
REFUSED = "the API key was refused"

PROGRAM = """#!/bin/sh
exec {python} -I -S {inside} enter {entry} "$@"
"""


class SdkMissing(SubagentError):
    """The optional extra is not installed."""


def load_sdk() -> Any:
    """Import the SDK. Raises SdkMissing, which says how to install it."""
    for place in site_packages():
        if place not in sys.path:
            sys.path.append(place)
    try:
        import claude_agent_sdk
    except ImportError as missing:
        raise SdkMissing(f"the backend claude needs the Claude Agent SDK ({missing.name} is missing): {INSTALL}") from None
    return claude_agent_sdk


def missing() -> str:
    """Why this backend cannot work here, "" when it can. Imports nothing."""
    here = any(os.path.isdir(os.path.join(place, "claude_agent_sdk")) for place in site_packages())
    return "" if here else f"the Claude Agent SDK is not installed: {INSTALL}"


def preload() -> None:
    """Import the other packages that an attempt needs. Without the SDK this does nothing, and the attempt reports it."""
    import asyncio  # noqa: F401 -- loaded for the forks of this process

    from subagents.backends import api_proxy  # noqa: F401
    from subagents.spending import request_cost

    with contextlib.suppress(SdkMissing):
        load_sdk()
        request_cost(DEFAULT_MODEL, dict.fromkeys(USAGE_FIGURES, 0))


def bring_session(attempt_dir: str, name: str, place: str) -> None:
    """Copy the file `name`, which holds a session, of an earlier attempt into the folder `place`; nothing where there is none.

    The agent could write where it lies. No link is followed: it could lead to anything that the server's user may read.
    """
    there = os.path.join(os.path.realpath(attempt_dir), "claude", "projects")
    for folder in os.listdir(there) if os.path.isdir(there) else ():
        path = os.path.join(there, folder, name)
        if os.path.realpath(path) == path and (descriptor := open_regular(path)) is not None:
            os.makedirs(place, exist_ok=True)
            with open(descriptor, "rb") as kept, open(os.path.join(place, name), "wb") as brought:
                shutil.copyfileobj(kept, brought)


class ClaudeBackend:
    """Carries out a phase, or answers for another role, with Claude."""

    asks_model = True

    def run(self, spec: TaskSpec, checkout: str, reporter: Reporter, on_step: StepHook) -> AgentOutcome:
        """Raises OSError, GitError, ContractError: errors of ours, not of the agent."""
        began = time.monotonic()
        if spec.model and spec.model not in MODELS and not re.fullmatch(EXACT_MODEL, spec.model):
            known = ", ".join(MODELS)
            return AgentOutcome(Failure.AGENT_ERROR, (f"unknown model {spec.model!r}; known: {known}, and exact ids",))
        key = api_key()
        if not key:
            return AgentOutcome(Failure.NEEDS_AGENT, (NO_KEY,))
        try:
            sdk = load_sdk()
        except SdkMissing as problem:
            return AgentOutcome(Failure.NEEDS_AGENT, (str(problem),))
        try:
            tools = ToolPolicy.of(spec.options.get("tools") if spec.role == Role.EXECUTOR else {})
        except (ValueError, TypeError, AttributeError) as fault:
            return AgentOutcome(Failure.NEEDS_AGENT, (f"the project's tools for agents cannot be read: {fault}",))
        import asyncio

        session = _Session(sdk, spec, checkout, reporter, on_step, key, began, tools)
        if lacking := session.servers.lacking():
            return AgentOutcome(Failure.NEEDS_AGENT, (lacking,))
        return asyncio.run(session.run())


class _Session:
    """One run of the agent: its options, its messages and its outcome."""

    def __init__(
        self,
        sdk: Any,
        spec: TaskSpec,
        checkout: str,
        reporter: Reporter,
        on_step: StepHook,
        key: str,
        began: float,
        tools: ToolPolicy,
    ) -> None:
        self.sdk, self.spec, self.checkout, self.reporter, self.on_step = sdk, spec, checkout, reporter, on_step
        import asyncio

        from subagents.backends.api_proxy import ApiProxy
        from subagents.backends.door import Door
        from subagents.backends.mcp_servers import ToolServers

        self.began = began
        self.policy = tools
        self.servers = ToolServers(spec, checkout, tools, reporter, secrets_for("servers"), self._has_network())
        self.in_force: dict[str, Any] = {}
        self.asking, self.asked, self.waited = asyncio.Lock(), 0, 0.0
        self.asked_at: float | None = None
        self.told = tell(spec, checkout)
        self.usage = UsageMeter()
        self.steps = {step.number: step for step in spec.steps}
        self.done: list[int] = []
        self.session = ""
        self.resets_at: float | None = None
        purse = Purse(purse_of(spec), spec.attempt_dir, spec.max_cost_usd)
        self.door = Door(purse, self.usage, self._report_usage)
        self.proxy = ApiProxy(str(spec.options.get("base_url") or API), key, self._on_refused, self.door, self._over_budget)
        self.answer: dict[str, Any] | None = None
        self.failure: Failure | None = None
        self.errors: list[str] = []
        self.fault = ""
        self.retry_at = ""
        self.ended = False
        self.tools: dict[str, str] = {}  # running tool calls and what they do
        self.transcript = ClaudeTranscript(reporter.transcript, checkout, lambda name, given: describe_call(name, given, checkout))

    async def run(self) -> AgentOutcome:
        import asyncio

        os.environ["CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK"] = "1"  # the program comes with the SDK
        listening = asyncio.create_task(self._listen(self._program()))
        try:
            while not listening.done() and not self.ended:
                await asyncio.wait({listening}, timeout=min(self._seconds_left(), 1.0))
                if self._seconds_left() <= 0 and not self.ended:
                    self._out_of_time()
        finally:
            await self._close(listening)
            await self.proxy.close()
            self.transcript.close()
        if not listening.cancelled() and (problem := listening.exception()) is not None:
            raise problem
        if self.failure is None and self.answer is None:
            self._fail(Failure.AGENT_ERROR, "the agent ended without a result")
        self._check_steps()
        return self._outcome()

    async def _listen(self, program: str) -> None:
        """Handle the agent's messages until its result, or until something else ends the run."""
        stream = self.sdk.query(prompt=self.told.own, options=self._options(program))
        try:
            async for message in stream:
                self._handle(message)
                if self.ended:
                    break
        except self.sdk.ClaudeSDKError as problem:
            if not self.ended:
                self._fail(Failure.CRASHED, f"the agent's program failed: {_sentence(str(problem))}")
        finally:
            await stream.aclose()

    # Before

    def _program(self) -> str:
        """Write the script that the SDK starts instead of the program: it enters the sandbox and becomes the program there."""
        spec, level = self.spec, self.spec.sandbox or "rlimit"
        network = self._has_network()
        if spec.policy.get("hosts") and level == "landlock":
            said = "at landlock an agent reaches its API only, none of the project's allowed hosts"
            self.reporter.note("warning", "network", said)
        policy = policy_for(spec, self.checkout, network=network, readable=(api_proxy_inside.HERE,), writable=(self._home(),))
        command = os.path.join(os.path.dirname(self.sdk.__file__), "_bundled", "claude")
        entry = os.path.join(spec.attempt_dir, "inside.json")
        with open(entry, "w", encoding="utf-8") as file:
            proxy = self.proxy.open(spec.attempt_dir)
            json.dump(api_proxy_inside.entry(level, replace(policy, owner=own_user()), self.checkout, proxy, command), file)
        path = os.path.join(spec.attempt_dir, "claude-program")
        words = {"python": sys.executable, "inside": api_proxy_inside.HERE, "entry": entry}
        with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o700)) as file:
            file.write(PROGRAM.format(**{name: shlex.quote(word) for name, word in words.items()}))
        return path

    def _has_network(self) -> bool:
        """Whether the agent has more than its API. At landlock its port and the sockets of the network proxy exclude each other."""
        spec = self.spec
        if spec.policy.get("hosts") and spec.sandbox == "landlock":
            return False
        return spec.policy.get("network") in ("steps", "all")

    def _environment(self) -> dict[str, str]:
        """The environment of the program and its shells, an allow-list. The SDK adds our own, so ours is cut to the list too."""
        environment = command_environment(self.spec, self.checkout)
        if self.spec.policy.get("hosts") and self._has_network():
            environment |= variables(self.spec)
        environment |= secrets_for("agent") if self.spec.role == Role.EXECUTOR else {}
        for name in [name for name in os.environ if name not in environment]:
            del os.environ[name]
        environment |= {
            "CLAUDE_CONFIG_DIR": self._home(),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
            "MCP_TOOL_TIMEOUT": str(10**8),  # milliseconds: a person may take a day to answer
            "CLAUDE_CODE_MAX_RETRIES": str(self.spec.options.get("max_retries", MAX_RETRIES)),
            "CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK": "1",
        }
        return environment

    def _home(self) -> str:
        """The program's configuration folder, one per attempt. A session to continue is copied from the earlier attempt."""
        home = os.path.join(self.spec.attempt_dir, "claude")
        os.makedirs(home, mode=0o700, exist_ok=True)
        earlier = self.spec.payload.get("resume")
        if self.spec.session and isinstance(earlier, dict):
            place = os.path.join(home, "projects", self.sdk.project_key_for_directory(self.checkout))
            bring_session(str(earlier.get("attempt_dir", "")), f"{os.path.basename(self.spec.session)}.jsonl", place)
        return home

    def _resumable(self) -> bool:
        place = os.path.join(self._home(), "projects", self.sdk.project_key_for_directory(self.checkout))
        return bool(self.spec.session) and os.path.isfile(os.path.join(place, f"{os.path.basename(self.spec.session)}.jsonl"))

    def _options(self, program: str) -> Any:
        spec, sdk = self.spec, self.sdk
        writes = spec.role == Role.EXECUTOR
        servers = {}
        if writes and self.steps:
            takes = {"number": int, "summary": str}
            about = "Report that a step of the phase is finished. The server then commits what is in the checkout."
            asks = "Ask the person in charge, and wait for the answer: only what you cannot find out, and where guessing is costly."
            tools = [
                sdk.tool("step_done", about, takes)(self._step_done),
                sdk.tool("ask_person", asks, {"question": str, "suggested_answers": list[str]})(self._ask_person),
            ]
            servers["ce"] = sdk.create_sdk_mcp_server("ce", tools=tools)
        elif spec.role == Role.REVIEWER:
            about = f"Ask git, read-only: {', '.join(COMMANDS)}. `question` is what follows `git`, such as `log -n5 -- src/app.py`."
            servers["ce"] = sdk.create_sdk_mcp_server("ce", tools=[sdk.tool("git", about, {"question": str})(self._asks_git)])
        servers |= {relay.name: {"type": "sdk", "name": relay.name, "instance": relay} for relay in self.servers.relays}
        skills, agents = self._of_repository()
        resume = spec.session if self._resumable() else None
        if spec.session and resume is None:
            self.reporter.note("warning", "session", "the earlier session does not exist any more: a new one starts")
        fallback = spec.options.get("fallback_model") or None
        return sdk.ClaudeAgentOptions(
            cwd=self.checkout,
            cli_path=program,
            env=self._environment(),
            model=spec.model or DEFAULT_MODEL,
            fallback_model=None if fallback == (spec.model or DEFAULT_MODEL) else fallback,
            effort=spec.options.get("effort") or None,
            # The same text first for every attempt of the run, so that the provider's cache can serve it.
            system_prompt={
                "type": "preset",
                "preset": "claude_code",
                "append": self.told.shared,
                "exclude_dynamic_sections": True,
            },
            verbatim_prompts=True,  # an @path in a plan is text, not a file to read
            setting_sources=["user"] if skills else [],  # the attempt's own folder, which holds the skills and nothing else
            skills=skills,
            agents=agents,
            tools=self.policy.builtin() if writes else list(READING_TOOLS),
            disallowed_tools=self.policy.denied_parts(),
            permission_mode="acceptEdits",
            can_use_tool=self._may_use,
            hooks={
                "PostToolUse": [sdk.HookMatcher(hooks=[self._after_tool])],
                "Stop": [sdk.HookMatcher(hooks=[self._before_end])],
            },
            mcp_servers=servers,
            strict_mcp_config=True,
            max_buffer_size=MESSAGE_BYTES,
            max_turns=int(spec.options.get("max_turns", MAX_TURNS)),
            max_budget_usd=spec.max_cost_usd,
            include_partial_messages=True,
            resume=resume,
            output_format={"type": "json_schema", "schema": answer_schema(spec)},
            stderr=lambda line: self.reporter.note("warning", "stderr", line),
        )

    def _of_repository(self) -> tuple[list[str], dict[str, Any] | None]:
        """The skills and subagents that the repository brings, where the project switches them on."""
        skills: list[str] = []
        agents: dict[str, Any] = {}
        repository, commit = attached_repository(self.spec.repository), self.spec.batch_base or self.spec.base_commit
        if self.policy.skills and self.policy.permits("Skill"):
            skills, left_out = give_skills(repository, commit, os.path.join(self._home(), "skills"))
            for said in left_out:
                self.reporter.note("warning", "tools", f"left out: {said}")
        if self.policy.subagents and self.policy.permits("Agent"):
            for name, one in read_agents(repository, commit).items():
                agents[name] = self.sdk.AgentDefinition(**one)
        self.in_force = {"skills": skills, "subagents": list(agents)}
        return skills, agents or None

    # While it works

    async def _may_use(self, name: str, given: dict[str, Any], context: object) -> Any:
        """Answer the program's question whether the agent may use a tool: nobody else is there to be asked.

        The program asks about each command, about files outside the checkout and about some inside (.vscode/, .husky/, .mcp.json).
        """
        if name == OWN_ASK_TOOL and self.spec.role == Role.EXECUTOR and self.policy.permits(name):
            return self.sdk.PermissionResultAllow(updated_input={**given, "answers": await self._answers_to(given)})
        reason = why_not(name, given, self.checkout, self.policy, os.path.join(self._home(), "skills"))
        if not reason:
            return self.sdk.PermissionResultAllow()
        self.reporter.note("warning", "tool_refused", f"{describe_call(name, given, self.checkout)}: {reason}")
        return self.sdk.PermissionResultDeny(message=reason)

    async def _ask_person(self, given: dict[str, Any]) -> dict[str, Any]:
        """The agent's tool: a person's answer."""
        suggested = given.get("suggested_answers")
        answers = [str(one) for one in suggested] if isinstance(suggested, list) else []
        return _tool_reply(await self._ask(str(given.get("question", "")), answers))

    async def _answers_to(self, given: dict[str, Any]) -> dict[str, str]:
        """{question: a person's answer} of what the program's own tool asks."""
        found: dict[str, str] = {}
        questions = given.get("questions")
        for one in questions if isinstance(questions, list) else ():
            if isinstance(one, dict) and isinstance(one.get("question"), str):
                options = one.get("options")
                labels = [str(option["label"]) for option in options if "label" in option] if isinstance(options, list) else []
                found[one["question"]] = await self._ask(one["question"], labels)
        return found

    async def _ask(self, question: str, answers: list[str]) -> str:
        """Wait for a person's answer; the clocks of the time limit stand still meanwhile."""
        import asyncio

        async with self.asking:  # one question at a time
            if not question.strip() or self.asked >= MOST_QUESTIONS:
                return "Nobody is asked: decide yourself what fits the plan best, and say so in your summary."
            number, self.asked = self.asked, self.asked + 1
            text, told = question.strip()[:QUESTION_CHARACTERS], [one[:200] for one in answers[:MOST_ANSWERS]]
            began = time.monotonic()
            self.reporter.note("info", "question", f"asks: {text}", suggested=told)
            self.reporter.asks({"number": number, "text": text, "answers": told})
            self.asked_at = began
            while (answer := inbox.answer_to(self.spec.attempt_dir, number)) is None:
                await asyncio.sleep(LOOK_SECONDS)
                self.reporter.alive()  # it does what it can: it waits
            self.waited += time.monotonic() - began
            self.asked_at = None
            self.reporter.asks({})
            self.reporter.note("info", "answer", f"{answer[1]} answers: {answer[0]}", by=answer[1])
            return f"{answer[1]} answers: {answer[0]}"

    async def _after_tool(self, given: object, tool: object, context: object) -> dict[str, Any]:
        """The program asks after each tool call: what people say meanwhile is told with its result."""
        said = self._said_by_people()
        return {"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": said}} if said else {}

    async def _before_end(self, given: object, tool: object, context: object) -> dict[str, Any]:
        """The program asks before it ends: what nobody has read yet keeps it at work."""
        said = self._said_by_people()
        return {"decision": "block", "reason": said} if said else {}

    def _said_by_people(self) -> str:
        letters = inbox.take(self.spec.attempt_dir)
        for letter in letters:
            self.reporter.note("info", "message", f"{letter.by} says: {letter.text}", by=letter.by, said_at=letter.at)
        return "\n\n".join(letter.words() for letter in letters)

    def _seconds_left(self) -> float:
        limit = self.spec.timeout_seconds
        now = time.monotonic()
        waited = self.waited + (now - self.asked_at if self.asked_at is not None else 0.0)
        return max(self.began + waited + limit - min(GRACE_SECONDS, limit / 4) - now, 0.0)

    def _out_of_time(self) -> None:
        self._fail(Failure.PHASE_TIME_LIMIT, f"not done within {self.spec.timeout_seconds:g} s; the work so far is kept")

    async def _step_done(self, given: dict[str, Any]) -> dict[str, Any]:
        """The agent's tool: commit a step. An error is reported to the agent, which may fix it."""
        number = given.get("number")
        step = self.steps.get(number) if isinstance(number, int) else None
        if step is None:
            return _tool_reply(f"Unknown step {number}; the steps are: {', '.join(map(str, self.steps))}.", error=True)
        try:
            self._finish_step(step)
        except SubagentError as problem:
            self.reporter.note("warning", "step_refused", str(problem), step=step.number)
            return _tool_reply(f"Step {number} was not committed: {problem}", error=True)
        coming = next((step for step in self.spec.steps if step.number not in self.done), None)
        if coming is not None:
            self.reporter.step(coming.number, coming.text)
        return _tool_reply(f"Step {number} is committed." + (f" Next: step {coming.number}." if coming else " That was the last step."))

    async def _asks_git(self, given: dict[str, Any]) -> dict[str, Any]:
        """The reviewer's tool: what git says. The answer is material, and masked like all that is written."""
        try:
            words = shlex.split(str(given.get("question", "")))
            return _tool_reply(redact(ask_git(attached_repository(self.spec.repository), self.spec.base_commit, words)))
        except (SubagentError, ValueError) as problem:
            return _tool_reply(f"git was not asked: {problem}", error=True)

    def _finish_step(self, step: StepPlan) -> None:
        self.on_step(step)
        if step.number not in self.done:
            self.done.append(step.number)
        self.reporter.steps_done(len(self.done))

    def _handle(self, message: Any) -> None:
        self.transcript.see(message)
        kind = type(message).__name__
        handler = getattr(self, f"_on_{kind}", None)
        if handler is not None:
            handler(message)

    def _on_SystemMessage(self, message: Any) -> None:
        data = message.data
        match message.subtype:
            case "init":
                self.session = str(data.get("session_id", ""))
                self.reporter.session(self.session)
                self.reporter.note("info", "session", f"model {data.get('model', '')}", session=self.session)
                self._note_tools(data)
                first = next((step for step in self.spec.steps if step.number not in self.done), None)
                if first is not None and self.spec.role == Role.EXECUTOR:
                    self.reporter.step(first.number, first.text)
                self.reporter.doing(WAITS)
            case "api_retry":
                self._on_retry(data)
            case subtype if "fallback" in subtype or "refusal" in subtype:
                names = {name: value for name, value in data.items() if isinstance(value, str) and "model" in name}
                self.reporter.note("warning", subtype, str(data.get("content") or "the model was changed"), **names)
            case "informational":
                self.reporter.note("info", "informational", str(data.get("content", "")))

    def _note_tools(self, data: dict[str, Any]) -> None:
        """Record what the agent has, as its program says; a server that does not work and must ends the attempt."""
        told = data.get("tools")
        tools = [str(name) for name in told] if isinstance(told, list) else []
        states = {one["name"]: one.get("status") for one in data.get("mcp_servers") or () if isinstance(one, dict) and "name" in one}
        for relay in self.servers.relays:
            if states.get(relay.name) != "connected":
                relay.problem = relay.problem or f"it did not answer ({states.get(relay.name) or 'not started'})"
                self.reporter.note("warning", "mcp_server", f"MCP server {relay.name}: {relay.problem}")
        self.in_force |= {"tools": tools, "denied": list(self.policy.denied), "servers": self.servers.in_force()}
        if self.spec.role == Role.EXECUTOR:
            self.reporter.note("info", "tools", f"tools: {', '.join(tools)}")
        broken = [relay for relay in self.servers.relays if relay.problem and relay.server.required]
        if broken:
            self._fail(Failure.AGENT_ERROR, f"the MCP server {broken[0].name} does not work: {broken[0].problem}")

    def _on_refused(self, status: int, resets_at: float | None) -> None:
        """The API refused a request: the proxy sees at once that it did, and until when."""
        if status in (401, 403):
            self._fail(Failure.AGENT_ERROR, REFUSED, Fault.KEY_REFUSED)  # the program would try again for over a minute
            return
        if resets_at is not None:
            self.resets_at = resets_at
        if self.resets_at is not None and self.resets_at - time.time() > LONGEST_PAUSE_SECONDS:
            self._rate_limited()

    def _on_retry(self, data: dict[str, Any]) -> None:
        status, pause = data.get("error_status"), float(data.get("retry_delay_ms") or 0) / 1000
        word = {429: "rate limited", 529: "overloaded"}.get(status or 0, f"error {status}" if status else "incomplete answer")
        text = f"The API: {word}; try {data.get('attempt')} of {data.get('max_retries')} in {pause:.1f} s"
        self.reporter.note("warning", "api_retry", text, status=status)
        self.reporter.doing(text)

    def _on_StreamEvent(self, message: Any) -> None:
        self.reporter.alive()

    def _report_usage(self) -> None:
        """Tell what the answers that pass the proxy have cost so far."""
        if self.usage:
            self.reporter.usage(self.usage.tokens, self.usage.cost_usd, self.usage.figures())

    def _on_RateLimitEvent(self, message: Any) -> None:
        info = message.rate_limit_info
        self.reporter.note("info" if info.status == "allowed" else "warning", "rate_limit", f"rate limit: {info.status}")
        if info.status == "rejected" and info.resets_at:
            self.resets_at = float(info.resets_at)

    def _on_AssistantMessage(self, message: Any) -> None:
        for block in message.content:
            name = type(block).__name__
            if name == "TextBlock" and block.text.strip():
                self.reporter.note("info", "said", block.text[:TEXT_CHARACTERS])
            elif name == "ToolUseBlock" and block.name != "StructuredOutput":
                text = describe_call(block.name, block.input, self.checkout)
                self.tools[block.id] = text
                self.reporter.note("info", "tool", text)
                self.reporter.doing(doing(block.name, block.input, self.checkout))

    def _on_UserMessage(self, message: Any) -> None:
        for block in message.content if isinstance(message.content, list) else ():
            if type(block).__name__ != "ToolResultBlock" or block.tool_use_id not in self.tools:
                continue
            text = plain_text(block.content)
            call = self.tools.pop(block.tool_use_id)
            if block.is_error:
                self.reporter.note("warning", "tool_failed", f"{call}: {title_of(text)}")
            if call.startswith("Bash "):
                self.reporter.output(text.encode("utf-8", "replace") + b"\n", 0)
                self.reporter.end_output(0)
            if not self.tools:
                self.reporter.doing(WAITS)
        self.reporter.alive()

    # The end

    def _on_ResultMessage(self, result: Any) -> None:
        self.ended = True
        self.session = result.session_id or self.session
        figures = {"turns": result.num_turns, "cost_usd": result.total_cost_usd, "stop_reason": result.stop_reason}
        self.reporter.note("info", "agent_ended", f"the agent ended: {result.subtype}", **figures)
        text = str(result.result or "; ".join(result.errors or ()) or result.subtype)
        status = result.api_error_status
        if result.subtype == "error_max_budget_usd":
            self._over_budget()
        elif result.subtype == "error_max_turns":
            self._fail(Failure.AGENT_ERROR, f"not done after {result.num_turns} turns")
        elif result.is_error or result.subtype != "success":
            if status in (401, 403):
                self._fail(Failure.AGENT_ERROR, REFUSED, Fault.KEY_REFUSED)
            elif status == 429:
                self._rate_limited()
            elif result.stop_reason == "refusal":
                self._fail(Failure.AGENT_ERROR, f"the model refused: {_sentence(text)}")
            else:
                fault = fault_of_answer(status, text, self.proxy.unreachable)
                if self.door.lowered and not fault:  # an answer was cut shorter than was asked, and nothing else is at fault
                    self._over_budget()
                    return
                said = self.proxy.unreachable if fault == Fault.UNREACHABLE else text
                self._fail(Failure.AGENT_ERROR, _sentence(said), fault)
        else:
            fault = check_answer(self.spec, result.structured_output)
            if fault:
                self._fail(Failure.AGENT_ERROR, f"the agent gave no usable result: {fault}")
            else:
                self.answer = result.structured_output

    def _over_budget(self) -> None:
        cap = f"of ${self.spec.max_cost_usd:g} for this attempt" if self.spec.max_cost_usd is not None else "of the batch"
        self._fail(Failure.BUDGET, f"the budget {cap} is used up: what is left does not hold another request; the work so far is kept")

    def _rate_limited(self) -> None:
        """End the run until the time that the API named. When it named none, the engine decides how long to wait."""
        if self.resets_at is not None and self.resets_at > time.time():
            self.retry_at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(math.ceil(self.resets_at)))
        until = f"until {self.retry_at}" if self.retry_at else "and does not say until when"
        self._fail(Failure.RATE_LIMITED, f"the API accepts no requests {until} (429)")

    def _fail(self, failure: Failure, error: str, fault: str = "") -> None:
        self.ended = True
        if self.failure is None:
            self.failure, self.errors, self.fault = failure, [error], fault

    def _check_steps(self) -> None:
        """Commit steps that only the final result reports as done. A step that is not done is a failure."""
        if self.answer is None or self.failure is not None or self.spec.role != Role.EXECUTOR:
            return
        self.reporter.note("info", "summary", self.answer["summary"][:TEXT_CHARACTERS])
        told = {step["number"]: step for step in self.answer["steps"]}
        undone = []
        for number, step in self.steps.items():
            if number in self.done:
                continue
            if told.get(number, {}).get("done"):
                self._finish_step(step)
            else:
                note = told.get(number, {}).get("note") or "the agent does not mention it"
                undone.append(f'Step {number} "{title_of(step.text)}" is not done: {_sentence(note)}')
        if self.answer["status"] == "blocked":
            undone.insert(0, f"the agent is blocked: {_sentence(self.answer['summary'])}")
        if undone:
            self.failure, self.errors = Failure.AGENT_ERROR, undone

    def _outcome(self) -> AgentOutcome:
        usage = self.usage
        if self.door.unpriced and (self.spec.max_cost_usd is not None):
            said = f"the price of {self.door.unpriced} is not known: no limit could be kept"
            self.reporter.note("warning", "unpriced", said)
        return AgentOutcome(
            self.failure,
            tuple(self.errors),
            steps_completed=len(self.done),
            tokens_used=usage.tokens,
            cost_usd=usage.cost_usd,
            usage=usage.figures(),
            session=self.session,
            retry_at=self.retry_at,
            sandbox=self.spec.sandbox,
            fault=str(self.fault),
            answer=self.answer or {},
            prompt_sha256=self.told.sha256,
            tools=self.in_force | {"servers": self.servers.in_force()} if self.in_force.get("tools") else {},
        )

    async def _close(self, listening: Any) -> None:
        """End the program and all that it started, before anything reads the files."""
        import asyncio

        from subagents.procfs import descendants, name_of

        below = descendants(os.getpid())
        if self.failure is not None:
            # The program ends its shells too. Waiting until it sees the end of its input would take longer. Ending bwrap's
            # own processes would kill the program before it has saved its session.
            _signal([pid for pid in below if name_of(pid) != b"bwrap"], SIGTERM)
            listening.cancel()
        await asyncio.wait({listening}, timeout=CLOSE_SECONDS)
        _signal(below, SIGKILL)
        await asyncio.wait({listening}, timeout=CLOSE_SECONDS)


def fault_of_answer(status: int | None, text: str, unreachable: str) -> str:
    """Which kind of fault of the provider an error is, "" for none: by the API's status, by its words where that says too little."""
    if unreachable:
        return Fault.UNREACHABLE
    if status == 402 or "redit balance is too low" in text:
        return Fault.NO_CREDIT
    if status == 404 and "model" in text:
        return Fault.UNKNOWN_MODEL
    if status is not None and status >= 500:
        return Fault.OVERLOADED
    return Fault.TRANSIENT if "malformed response" in text or "onnection" in text else ""


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _tool_reply(text: str, *, error: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "is_error": error}


def _sentence(text: str) -> str:
    """The first line of a text of a program or a model, for an error message."""
    return next((line.strip() for line in text.split("\n") if line.strip()), "")[:SENTENCE_CHARACTERS]


def why_not(name: str, given: dict[str, Any], checkout: str, tools: ToolPolicy | None = None, skills: str = "") -> str:
    """Why the agent may not use a tool so; "" when it may. The folder `skills` may be read, where there is one.

    The sandbox limits commands, also where this would allow more.
    """
    tools = tools or ToolPolicy()
    if name in (STEP_TOOL, GIT_TOOL, ASK_TOOL):
        return ""
    servers = tuple(f"mcp__{server.name}__" for server in tools.servers)
    if not tools.permits(name) or not (name in tools.builtin() or OTHER_NAMES.get(name) in tools.builtin() or name.startswith(servers)):
        return f"the tool {name} is not among those of this attempt"
    if name not in FILE_TOOLS:
        return ""
    path = given.get("file_path") or given.get("path") or "."
    if not isinstance(path, str) or "\0" in path:
        return "the path is not text"
    top = os.path.realpath(checkout)
    place = os.path.realpath(os.path.join(top, path))
    if place == top or place.startswith(top + os.sep):
        return ""
    if skills and tools.skills and name not in ("Write", "Edit") and place.startswith(os.path.realpath(skills) + os.sep):
        return ""
    led = "" if place == path else f" leads to {place}, which"
    return f"{path}{led} is outside the checkout {checkout}; only files in it can be read and written"


def describe_call(name: str, given: dict[str, Any], checkout: str) -> str:
    """A tool call in short: "Edit src/app.py", "Bash pytest -q"."""
    what = given.get("file_path") or given.get("command") or given.get("pattern") or given.get("number") or given.get("question") or ""
    text = str(what)
    if "file_path" in given:
        text = text.removeprefix(checkout + os.sep)
    return f"{name.removeprefix('mcp__ce__')} {title_of(text)}".strip()
