"""The backend for any other agent: a command that the operator configures, such as Codex CLI or a script.

The command runs in the checkout. It gets the prompt on standard input, or in a file if its arguments contain `{prompt_file}`.
Exit code 0 means that it claims to be done. docs/agents.md has recipes; tests/subagents/conformance.py has the tests it must pass.
"""

from __future__ import annotations

import json
import os
import shutil
import stat

from subagents.backends.base import AgentOutcome
from subagents.backends.steps import LAST_LINES, Tail
from subagents.backends.streams import StreamReader
from subagents.backends.streams.told import aider_requests, limit_of, session_of
from subagents.contract import USAGE_FIGURES, Failure, Role
from subagents.credentials import secrets_for
from subagents.network_access import variables
from subagents.processes import SIGKILL, stream
from subagents.prompting import answer_schema, check_answer
from subagents.sandbox import command_environment, confine, policy_for
from subagents.told_prompt import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from subagents.backends.base import StepHook
    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter

GRACE_SECONDS = 15.0  # before the wrapper's own limit, so that the work is kept
KEPT_BYTES = 1024 * 1024  # the end of its output, which is searched for figures and an answer
HOME_BYTES = 200 * 1024 * 1024  # of an earlier attempt's HOME, which holds the session that is continued
TRIED_PLACES = 500
NOT_CONFIGURED = "no command is configured for the backend command: enter one in the project's settings (docs/agents.md has recipes)"
ON_STANDARD_INPUT = 'exec "$@" <"$0"'
ASK_FOR_JSON = """
Print the structured result as one JSON object, as the last thing you print. Its schema:

{schema}
"""


class CommandBackend:
    """Runs `spec.options["command"]`, a list of words in which {prompt_file}, {checkout} and {model} are replaced.

    To continue the session of an earlier attempt it runs `spec.options["resume_command"]`, in which {session} is replaced as well.
    """

    asks_model = True

    def run(self, spec: TaskSpec, checkout: str, reporter: Reporter, on_step: StepHook) -> AgentOutcome:
        """Raises FileNotFoundError when the checkout vanishes, OSError, GitError, ContractError."""
        command = spec.options.get("command")
        if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
            return AgentOutcome(Failure.NEEDS_AGENT, (NOT_CONFIGURED,))
        told = tell(spec, checkout, "" if spec.role == Role.EXECUTOR else ASK_FOR_JSON.format(schema=json.dumps(answer_schema(spec))))
        resume = spec.options.get("resume_command")
        if spec.session and isinstance(resume, list) and resume and _bring_home(spec):
            command = [str(word) for word in resume]
        elif spec.session:
            reporter.note("warning", "session", "the earlier session cannot be continued: a new one starts on its work")
        argv = self._argv(spec, checkout, command, told.shared + told.own)
        reporter.progress(1 if spec.role == Role.EXECUTOR and spec.steps else 0, f"{os.path.basename(command[0])} at work", "agent")
        tail, output, said = Tail(LAST_LINES), Tail(1_000_000, KEPT_BYTES), StreamReader(reporter, checkout)

        def keep(data: bytes) -> None:
            tail.add(data)
            output.add(data)
            reporter.output(data, 0)
            said.add(data)
            reporter.alive()

        limit = spec.timeout_seconds - min(GRACE_SECONDS, spec.timeout_seconds / 4)
        # The same sandbox as for the commands of steps, but always with the network that the project allows: the agent must reach
        # its model.
        level = spec.sandbox or "rlimit"
        environment = command_environment(spec, checkout)  # creates the folders that the sandbox shows
        environment |= variables(spec) if spec.policy.get("hosts") else {}
        environment |= secrets_for("agent") if spec.role == Role.EXECUTOR else {}
        inner, prepare = confine(level, policy_for(spec, checkout, network=True), argv, checkout)
        exit_code, timed_out = stream(inner, environment, checkout, keep, seconds=limit, prepare=prepare)
        reporter.end_output(0)
        said.end()
        reporter.note("info" if exit_code == 0 else "error", "exit", f"exit code {exit_code}", exit_code=exit_code)
        objects = list(_objects(output.text()))
        used = {"sandbox": level, "prompt_sha256": told.sha256, **_use_of(objects or aider_requests(output.text()), spec.model)}
        if session := session_of(objects):
            used["session"] = session
            reporter.session(session)
        if "usage" in used:
            reporter.usage(used["tokens_used"], used["cost_usd"], used["usage"])
        failure, error = _failure(command[0], exit_code, timed_out, limit, tail.text())
        if (failure is not None and not timed_out) and (refused := limit_of(objects, output.text())):
            return AgentOutcome(Failure.RATE_LIMITED, (f"the agent's provider accepts no more for now: {refused}",), **used)
        if failure is not None:
            return AgentOutcome(failure, (error,), **used)
        if spec.role == Role.EXECUTOR:
            reporter.steps_done(len(spec.steps))
            return AgentOutcome(None, (), len(spec.steps), **used)
        answer = next((found for found in reversed(objects) if not check_answer(spec, found)), None)
        if answer is None:
            return AgentOutcome(Failure.AGENT_ERROR, ("the agent printed no usable result",), **used)
        return AgentOutcome(None, (), answer=answer, **used)

    def _argv(self, spec: TaskSpec, checkout: str, command: list[str], text: str) -> list[str]:
        path = os.path.join(spec.attempt_dir, "bin", "prompt.md")  # the part of the attempt's directory that the sandbox can read
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        places = {"{prompt_file}": path, "{checkout}": checkout, "{model}": spec.model, "{session}": spec.session}
        filled: list[str] = []
        for word in command:
            if word == "{model}" and not spec.model:  # the agent's own choice: the option before it goes too
                if filled and filled[-1].startswith("-"):
                    filled.pop()
                continue
            for place, value in places.items():
                word = word.replace(place, value)
            filled.append(word)
        if any("{prompt_file}" in word for word in command):
            return filled
        return ["/bin/sh", "-c", ON_STANDARD_INPUT, path, *filled]


def _bring_home(spec: TaskSpec) -> bool:
    """Copy the HOME of the earlier attempt, whose agent keeps its sessions there; whether that could be done.

    An agent wrote it: links are copied as links, and what is neither file nor folder is left out.
    """
    earlier = spec.payload.get("resume")
    there = os.path.join(str(earlier.get("attempt_dir", "")), "home") if isinstance(earlier, dict) else ""
    if not os.path.isdir(there) or os.path.islink(there):
        return False
    size = sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(there) for name in names)
    if size > HOME_BYTES:
        return False

    def special(place: str, names: list[str]) -> list[str]:
        kinds = {name: os.lstat(os.path.join(place, name)).st_mode for name in names}
        ordinary = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
        index = os.path.basename(place) == ".codex"  # Codex's own, which names its sessions by their old places: it is made anew
        return [name for name, mode in kinds.items() if not any(is_a(mode) for is_a in ordinary) or (index and ".sqlite" in name)]

    shutil.copytree(there, os.path.join(spec.attempt_dir, "home"), symlinks=True, ignore=special, dirs_exist_ok=True)
    return True


def _failure(name: str, exit_code: int, timed_out: bool, limit: float, output: str) -> tuple[Failure | None, str]:
    if timed_out:
        return Failure.PHASE_TIME_LIMIT, f"not done within {limit:g} s; the work so far is kept"
    if exit_code == 0:
        return None, ""
    if exit_code in (126, 127):
        return Failure.NEEDS_AGENT, f"the command {name} cannot be run here: is it installed, and on the PATH of CE Web?"
    ended = f"ended with exit code {exit_code}" if exit_code > 0 else f"was killed by signal {-exit_code}"
    failure = Failure.CRASHED if exit_code == -SIGKILL else Failure.AGENT_ERROR
    return failure, f"`{name}` {ended}" + (f"\n{output}" if output.strip() else "")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in an agent's output, in order: on one line, over several lines, or within text."""
    decoder, at, tried = json.JSONDecoder(), text.find("{"), 0
    while at >= 0 and tried < TRIED_PLACES:
        try:
            found, end = decoder.raw_decode(text, at)
        except ValueError:
            end, tried = at + 1, tried + 1
        except RecursionError:
            return
        else:
            yield found
            for inner in _texts(found):
                yield from _objects(inner) if "{" in inner else ()
        at = text.find("{", end)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _use_of(objects: list[dict[str, Any]], model: str) -> dict[str, Any]:
    """The outcome's figures from the agent's output; {} when it printed none. A figure that is missing is unknown."""
    requests = [entry for found in objects if (entry := _request(found, model)) is not None]
    if not requests:
        return {}
    totals: dict[str, int | None] = {}
    for name in USAGE_FIGURES:
        known = [entry[name] for entry in requests if entry[name] is not None]
        totals[name] = sum(known) if known else None
    tokens = [figure for figure in totals.values() if figure is not None]
    costs = [entry["cost_usd"] for entry in requests if entry["cost_usd"] is not None]
    return {
        "usage": {**totals, "requests": requests},
        "tokens_used": sum(tokens) if tokens else None,
        "cost_usd": round(sum(costs), 9) if costs else None,
    }


def _request(found: dict[str, Any], model: str) -> dict[str, Any] | None:
    """The figures of one object, in the formats of Codex CLI, Gemini CLI, opencode and the Messages API."""
    part: dict[str, Any] = found["part"] if isinstance(found.get("part"), dict) else {}
    stats: dict[str, Any] = found["stats"] if isinstance(found.get("stats"), dict) else {}
    entry: dict[str, Any] = {"model": str(found.get("model") or model), **dict.fromkeys(USAGE_FIGURES), "cost_usd": None}
    if isinstance(used := found.get("usage"), dict):
        cached = _count(used.get("cached_input_tokens"))  # part of the input count
        given = _count(used.get("input_tokens"))
        entry["input_tokens"] = given if given is None or cached is None else max(0, given - cached)
        entry["output_tokens"] = _count(used.get("output_tokens"))
        entry["cache_read_tokens"] = cached if cached is not None else _first(used, "cache_read_tokens", "cache_read_input_tokens")
        entry["cache_write_tokens"] = _first(used, "cache_write_tokens", "cache_creation_input_tokens")
    elif part and isinstance(used := part.get("tokens"), dict):
        cache: dict[str, Any] = used["cache"] if isinstance(used.get("cache"), dict) else {}
        entry["input_tokens"], entry["output_tokens"] = _count(used.get("input")), _count(used.get("output"))
        entry["cache_read_tokens"], entry["cache_write_tokens"] = _count(cache.get("read")), _count(cache.get("write"))
    elif (given := _count(stats.get("input_tokens"))) is not None:  # Gemini's stream sums its models up
        entry["cache_read_tokens"] = _count(stats.get("cached"))
        entry["input_tokens"] = max(0, given - (entry["cache_read_tokens"] or 0))
        entry["output_tokens"] = _count(stats.get("output_tokens"))
    elif stats and isinstance(stats.get("models"), dict):
        for one in stats["models"].values():
            used = one["tokens"] if isinstance(one, dict) and isinstance(one.get("tokens"), dict) else {}
            cached, prompt = _count(used.get("cached")) or 0, _count(used.get("prompt"))
            if prompt is not None:
                entry["input_tokens"] = (entry["input_tokens"] or 0) + max(0, prompt - cached)
                entry["cache_read_tokens"] = (entry["cache_read_tokens"] or 0) + cached
                written = (_count(used.get("candidates")) or 0) + (_count(used.get("thoughts")) or 0)
                entry["output_tokens"] = (entry["output_tokens"] or 0) + written
    cost = next((value for value in (found.get("cost_usd"), found.get("total_cost_usd"), part.get("cost")) if _is_cost(value)), None)
    entry["cost_usd"] = None if cost is None else float(cost)
    return entry if any(entry[name] is not None for name in (*USAGE_FIGURES, "cost_usd")) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _first(used: dict[str, Any], *names: str) -> int | None:
    return next((count for name in names if (count := _count(used.get(name))) is not None), None)


def _is_cost(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 999_999
