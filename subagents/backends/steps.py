"""The backend without a model: it runs the fenced shell commands of the steps. Steps in prose need an agent."""

from __future__ import annotations

import os

from subagents.activity import doing
from subagents.backends.base import AgentOutcome
from subagents.broken_pipe import BROKEN_PIPE, why_141
from subagents.contract import Failure
from subagents.credentials import secrets_for
from subagents.processes import SIGKILL
from subagents.reporting import title_of
from subagents.sandbox import run_commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.backends.base import StepHook
    from subagents.contract import StepPlan, TaskSpec
    from subagents.reporting import Reporter

LAST_LINES = 20
ARGUMENT_BYTES = 100_000  # Linux takes at most 128 KiB in one argument


class StepsBackend:
    """Runs each fenced block as one shell script that stops at its first failing command. No model, no tokens, no cost."""

    asks_model = False

    def run(self, spec: TaskSpec, checkout: str, reporter: Reporter, on_step: StepHook) -> AgentOutcome:
        """Raises FileNotFoundError when the checkout vanishes."""
        prose: list[str] = []
        completed = 0
        for step in spec.steps:
            reporter.step(step.number, step.text)
            if not step.commands:
                prose.append(f'Step {step.number} "{title_of(step.text)}" has no commands: it needs an agent')
                reporter.note("warning", "needs_agent", prose[-1], step=step.number)
                continue
            exit_code, fault = self._run_step(spec, step, checkout, reporter)
            if fault:
                # A shell does not kill itself: the kernel was out of memory, or a person did it. Another try may help.
                failure = Failure.CRASHED if exit_code == -SIGKILL else Failure.AGENT_ERROR
                return AgentOutcome(failure, (fault, *prose), completed)
            on_step(step)
            completed += 1
            reporter.steps_done(completed)
        if prose:
            return AgentOutcome(Failure.NEEDS_AGENT, tuple(prose), completed)
        return AgentOutcome(None, (), completed)

    def _run_step(self, spec: TaskSpec, step: StepPlan, checkout: str, reporter: Reporter) -> tuple[int, str]:
        """Run the step's blocks up to the first that fails; returns (exit code, what went wrong), or (0, "")."""
        for command in step.commands:
            reporter.note("info", "command", command, step=step.number)
            reporter.doing(doing("shell", {"command": command}, checkout))
            tail = Tail(LAST_LINES)

            def keep(data: bytes, tail: Tail = tail) -> None:
                tail.add(data)
                reporter.output(data, step.number)
                reporter.alive()

            argv = shell_command(command, spec.attempt_dir, f"step-{step.number}")
            exit_code, _ = run_commands(spec, argv, checkout, keep, extra=secrets_for("steps"))
            reporter.end_output(step.number)
            reporter.note("info" if exit_code == 0 else "error", "exit", f"exit code {exit_code}", step=step.number, exit_code=exit_code)
            if exit_code:
                output = tail.text()
                ended = f"ended with exit code {exit_code}" if exit_code > 0 else f"was killed by signal {-exit_code}"
                what = f'Step {step.number} "{title_of(step.text)}": `{title_of(command)}` {ended}'
                what += f" ({why_141(command)})" if exit_code == BROKEN_PIPE else ""
                return exit_code, what + (f"\n{output}" if output else "")
        return 0, ""


class Tail:
    """Keeps the last lines of a stream, up to `size` bytes."""

    def __init__(self, lines: int, size: int = 8_000) -> None:
        self._lines, self._size, self._data = lines, size, b""

    def add(self, data: bytes) -> None:
        self._data = (self._data + data)[-self._size :]

    def text(self) -> str:
        return "\n".join(self._data.decode("utf-8", "replace").rstrip("\n").split("\n")[-self._lines :])


def shell_command(script: str, attempt_dir: str, name: str) -> list[str]:
    """The argv that runs a shell script and stops at its first failing command."""
    bash = next((place for place in ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash") if os.access(place, os.X_OK)), "")
    shell = [bash, "-euo", "pipefail"] if bash else ["/bin/sh", "-eu"]
    data = script.encode("utf-8", "replace")
    if len(data) < ARGUMENT_BYTES:
        return [*shell, "-c", data.decode()]
    folder = os.path.join(attempt_dir, "bin")  # the part of the attempt's directory that the sandbox can read
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{name}.sh")
    with open(path, "wb") as file:
        file.write(data)
    return [*shell, path]
