"""The runner: a child process of the wrapper that runs one role. Whatever happens there becomes a result."""

from __future__ import annotations

import os

from subagents import own_git
from subagents.contract import Failure, ResultStatus, TaskResult, TaskSpec
from subagents.files import SubagentError
from subagents.machine_faults import fault_of
from subagents.project_environment import SetupFailed
from subagents.reporting import Reporter
from subagents.roles import get_role
from subagents.workspace import GitError, RepositoryProblem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from subagents.journal import Journal


def run_attempt(spec: TaskSpec, pipe: int, journal: Journal) -> NoReturn:
    """Run the task, send its result through the pipe, end the process."""
    code = 0
    # The server's files are for its user alone. Those of an attempt lie in folders that are; its commands may run as another
    # user, and what a gate says should not depend on the rights that a person's shell gives to new files.
    os.umask(0o022)
    own_git.keep_in(os.path.join(spec.attempt_dir, "git"))
    try:
        reporter = Reporter(spec, pipe, journal)
        result = _result(spec, reporter, journal)
        if spec.policy.get("hosts"):
            from subagents import network_access

            network_access.end()
        reporter.result(result)
    except BaseException as error:  # noqa: BLE001 -- the outermost frame; without a result the supervisor reports a crash
        journal.event("error", "crashed", f"the result could not be sent: {error!r}")
        code = 1
    finally:
        os._exit(code)


def _result(spec: TaskSpec, reporter: Reporter, journal: Journal) -> TaskResult:
    try:
        if spec.policy.get("hosts"):
            from subagents.network_access import why_impossible

            if problem := why_impossible(spec):
                return _failed(spec, journal, Failure.AGENT_ERROR, problem, "")
        return get_role(spec.type)(spec, reporter)
    except BaseException as error:  # noqa: BLE001 -- the role's outermost frame
        return _failure(spec, journal, error)


def _failure(spec: TaskSpec, journal: Journal, error: BaseException) -> TaskResult:
    if fault := fault_of(error, (spec.checkout, spec.attempt_dir, spec.repository)):
        return _failed(spec, journal, Failure.MACHINE_FAULT, str(fault), "")
    if isinstance(error, SetupFailed):
        return _failed(spec, journal, Failure.SETUP_FAILED, str(error), "")
    if isinstance(error, (RepositoryProblem, GitError)):  # nobody crashed, and the next attempt would end the same
        return _failed(spec, journal, Failure.AGENT_ERROR, f"the repository cannot be used: {error}", "")
    if isinstance(error, SubagentError):  # its message is enough: no traceback
        return _failed(spec, journal, Failure.CRASHED, str(error), "")
    import traceback

    trace = "".join(traceback.format_exception(error))
    return _failed(spec, journal, Failure.CRASHED, f"{type(error).__name__}: {error}", trace)


def _failed(spec: TaskSpec, journal: Journal, failure: Failure, message: str, trace: str) -> TaskResult:
    journal.event("error", str(failure), message, traceback=trace)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.FAILED,
        attempt=spec.attempt,
        token=spec.token,
        failure_reason=failure,
        errors=(message,),
        total_steps=len(spec.steps),
        base_commit=spec.base_commit,
    )
