"""Carries out one phase: checkout, backend, a commit per step, gates, the closing commit."""

from __future__ import annotations

from subagents.backends import get_backend
from subagents.backends.base import AgentOutcome
from subagents.built_environment import ProjectEnvironment
from subagents.checkout import Checkout
from subagents.contract import Failure, GateKind, GateOrigin, GateOutcome, GateStatus, Look, ResultStatus, TaskResult
from subagents.left_over import archive
from subagents.machine_faults import MachineFault, fault_of, filled_by, full
from subagents.open_repository import attached_repository
from subagents.project_environment import SetupFailed, environment_for
from subagents.record import replace
from subagents.reporting import title_of
from subagents.workspace import BlockedEntries, Changes, GitError, RepositoryProblem

SUMMARY_CHARACTERS = 1_000
MOST_COMMENTS = 200

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from subagents.clean_checkout import CleanCheckout
    from subagents.contract import StepPlan, TaskSpec
    from subagents.reporting import Reporter


def execute(spec: TaskSpec, reporter: Reporter) -> TaskResult:
    """Do the phase and tell how it went; what was done is kept under the attempt's reference whatever comes of it.

    A fault of the machine ends it as `machine_fault`: the attempt is put off. Raises GitError, OSError: the runner reports
    them as crashed.
    """
    return _Execution(spec, reporter).run()


class _Execution:
    def __init__(self, spec: TaskSpec, reporter: Reporter) -> None:
        self.spec, self.reporter = spec, reporter
        self.repository = attached_repository(spec.repository)
        self.checkout = Checkout(self.repository, spec.checkout, f"{spec.attempt_dir}/index", spec.attempt_ref)
        # A person's resolution of a conflict is judged and closed like any work, on top of the same base.
        self.start = str(spec.payload.get("start", "")) or spec.base_commit
        self.head = self.start
        self.tree = "" if self.start == spec.base_commit else self.repository.tree(self.start)
        self.commits: list[str] = []
        self.outcome = AgentOutcome(None)
        self.changes: Changes | None = None
        self.looks: tuple[Look, ...] = ()

    def run(self) -> TaskResult:
        try:
            return self._run()
        except (MachineFault, OSError, MemoryError) as error:
            fault = fault_of(error, (self.checkout.path, self.spec.attempt_dir, self.spec.repository))
            if fault is None:
                raise
            return self._put_off(fault)

    def _run(self) -> TaskResult:
        spec = self.spec
        backend = get_backend(spec.backend)
        try:
            if spec.steps:  # gates are judged elsewhere
                self._make_checkout()
                self.outcome = backend.run(self.spec, self.checkout.path, self.reporter, self._commit_step)
            if self.outcome.failure in (Failure.AGENT_ERROR, Failure.CRASHED) and (fault := self._full()) is not None:
                return self._put_off(fault)
            if self.outcome.failure is None:
                if backend.asks_model and spec.steps:  # an agent goes on after it has called a step done
                    last = len(spec.steps)
                    self._keep_rest(f"Step {last} - what came after it" if self.commits else f"Steps 1 to {last} - done in one go")
                return self._finish()
            self._keep_unfinished()
        except SetupFailed as error:
            return self._failed(Failure.SETUP_FAILED, (*self.outcome.errors, str(error)), self._not_judged())
        except BlockedEntries as error:
            return self._failed(Failure.AGENT_ERROR, (*self.outcome.errors, str(error)), self._not_judged())
        except (RepositoryProblem, GitError, FileNotFoundError) as error:  # another try would end the same: the folder is kept
            errors = (*self.outcome.errors, f"the work could not be taken over: {error}")
            return self._failed(Failure.AGENT_ERROR, errors, self._not_judged())
        return self._failed(self.outcome.failure, self.outcome.errors, self._not_judged())

    def _make_checkout(self) -> None:
        self.reporter.progress(0, "Making the checkout", "checkout")
        self._set_up()
        try:
            self.checkout.create(self.start)
            ProjectEnvironment.of(self.spec).put_into(self.checkout.path)
            self.reporter.checked_out(self.checkout.provided)
        except (MachineFault, OSError) as error:
            if fault_of(error) is not None:  # half a checkout is worth nothing, and takes up what is scarce
                import shutil  # here: an attempt hardly ever needs it

                shutil.rmtree(self.checkout.path, ignore_errors=True)
            raise

    def _full(self) -> MachineFault | None:
        """The full disk that made the steps fail; None when there is room, or when it is this phase that filled it."""
        fault = full((self.checkout.path, self.spec.attempt_dir, self.spec.repository))
        return None if fault is None or filled_by((self.checkout.path, self.spec.attempt_dir)) else fault

    def _put_off(self, fault: MachineFault) -> TaskResult:
        return self._failed(Failure.MACHINE_FAULT, (str(fault), *self.outcome.errors))

    def _set_up(self) -> None:
        """Give the steps' commands the project's environment for what they start from. Raises SetupFailed."""
        built = environment_for(self.spec, self.repository, self.start, self.reporter)
        self.spec = built.given_to(self.spec)
        self.checkout = replace(self.checkout, provided=built.links)

    def _commit(self, tree: str, subject: str) -> None:
        self._committed(self.checkout.commit(tree, self.head, f"{self.spec.prp_id}: {subject}\n", first=not self.commits))

    def _committed(self, commit: str) -> None:
        self.head = commit
        self.commits.append(commit)
        self.reporter.head(commit)

    def _commit_step(self, step: StepPlan) -> None:
        self.tree = self.checkout.snapshot(self.head)
        self._commit(self.tree, f"Step {step.number} - {title_of(step.text)}")

    def _keep_unfinished(self) -> None:
        """Work that a failed step left is kept too: a person may want to look at it or go on from it."""
        step = min(self.outcome.steps_completed + 1, len(self.spec.steps))
        try:
            self._keep_rest(f"Step {step} - unfinished work of a failed attempt")
        except MachineFault as fault:
            if not filled_by((self.checkout.path, self.spec.attempt_dir)):
                raise
            filled = f"its own files fill the disk, so its unfinished work is in its folder alone ({fault})"
            self.outcome = replace(self.outcome, errors=(*self.outcome.errors, filled))

    def _keep_rest(self, subject: str) -> None:
        """Commit what is in the checkout and in no commit yet."""
        tree = self.checkout.snapshot(self.head)
        if tree != (self.tree or self.repository.tree(self.spec.base_commit)):
            self.tree = tree
            self._commit(tree, subject)

    def _finish(self) -> TaskResult:
        """Judge the very commit that will be merged; only when no gate fails does the attempt's reference move to it."""
        spec = self.spec
        gates: tuple[GateOutcome, ...] = ()
        message = f"{spec.prp_id}: Complete - {title_of(spec.phase_name)}\n"
        closing = self.repository.make_commit(self.tree or self.repository.tree(spec.base_commit), (self.head,), message)
        place = None
        if spec.gates:
            from subagents.clean_checkout import CleanCheckout, NoFiles
            from subagents.gates import OF_CHANGED_FILES, Judge

            changes = self._changed()
            spec = environment_for(spec, self.repository, closing, self.reporter).given_to(spec)
            if changes.present or changes.deleted or any(gate.kind not in OF_CHANGED_FILES for gate in spec.gates):
                place = CleanCheckout(spec, self.repository, closing)
            where = place or NoFiles(spec.attempt_dir, closing)
            judge = Judge(spec, where, changes.present, self.reporter, deleted=changes.deleted, kept_out=self._kept_out)
            gates = judge.judge(spec.gates)
        if self.tree:
            gates = self._looked_at(spec, gates, place, closing)
        gates += self._declared_kept_out()
        if any(gate.status == GateStatus.FAILED for gate in gates):
            # The same files, in a commit that is kept.
            gates = tuple(replace(gate, commit=self.head) if gate.commit else gate for gate in gates)
            return self._failed(Failure.GATE_FAILED, gate_errors(gates), gates)
        self.repository.move_ref(self.checkout.ref, closing, self.head if self.commits else None)
        self._committed(closing)
        ProjectEnvironment.of(self.spec).take_out_of(self.checkout.path)
        if spec.steps and (left := self.checkout.left_over()):
            self.reporter.note("info", "left_over", archive(self.checkout.path, left, spec.attempt_dir))
        return self._result(ResultStatus.SUCCESS, "", (), gates)

    def _looked_at(
        self, spec: TaskSpec, gates: tuple[GateOutcome, ...], place: CleanCheckout | None, closing: str
    ) -> tuple[GateOutcome, ...]:
        """The outcomes after a look at what the phase changed: a gate whose judges it changed undeclared is judged again.

        Then the version that the phase started from judges: what fails by it fails, what passes by it a person looks at.
        """
        from subagents.looks import Looker
        from subagents.roles.judged_again import judged_again, looks_at_the_batchs_judges

        looker = Looker(spec, self.repository, closing)
        gates, changes, again = judged_again(looker, spec.gates, gates, place, self._changed(), self.reporter)
        looks = looker.looks_at_judges(spec.gates, changes, again)
        if not any(gate.status == GateStatus.FAILED for gate in gates):
            looks += looks_at_the_batchs_judges(looker, gates, place, self._changed(), self.reporter, looks)
        looks += (*looker.looks_at_protected(looks), *looker.looks_at_secrets(gates))
        self.looks = (*looks, *looker.looks_at_others_work(), *looker.looks_at_white_space())
        for look in self.looks:
            self.reporter.note("info" if look.declared else "warning", "look", look.text)
        return gates

    def _kept_out(self, paths: Sequence[str]) -> dict[str, str]:
        """{path: why} of those that are in the folder but in no commit."""
        return self.checkout.kept_out(paths) if self.spec.steps else {}

    def _declared_kept_out(self) -> tuple[GateOutcome, ...]:
        """A failed gate of the server's own when the phase made a file that it declares, and git does not keep it."""
        whys = list(self._kept_out(self.spec.files_modified).values())
        if not whys:
            return ()
        position = 1 + max((gate.position for gate in self.spec.gates if gate.origin == GateOrigin.STANDARD), default=0)
        text, kind, status = "Declared files are in the commit", GateKind.FILES_EXIST, GateStatus.FAILED
        return (GateOutcome(position, text, kind, status, commit=self.head, note="; ".join(whys), origin=GateOrigin.STANDARD),)

    def _not_judged(self) -> tuple[GateOutcome, ...]:
        note = "not judged: the steps did not get that far"
        return tuple(
            GateOutcome(
                gate.position, gate.text, gate.kind, GateStatus.UNVERIFIED, gate.command, note=note, origin=gate.origin
            )
            for gate in self.spec.gates
        )

    def _failed(self, failure: Failure, errors: tuple[str, ...], gates: tuple[GateOutcome, ...] = ()) -> TaskResult:
        for error in errors:
            self.reporter.note("error", str(failure), error)
        return self._result(ResultStatus.FAILED, failure, errors, gates)

    def _changed(self) -> Changes:
        if self.changes is None:
            untouched = not self.tree
            self.changes = Changes((), (), (), ()) if untouched else self.repository.changes(self.spec.base_commit, self.head)
        return self.changes

    def _changed_if_known(self, failure: str) -> Changes:
        try:
            return self._changed()
        except (MachineFault, OSError):  # the machine that could not do the work cannot list it either
            if failure != Failure.MACHINE_FAULT:
                raise
            return Changes((), (), (), ())

    def _result(self, status: ResultStatus, failure: str, errors: tuple[str, ...], gates: tuple[GateOutcome, ...]) -> TaskResult:
        spec, outcome, changes = self.spec, self.outcome, self._changed_if_known(failure)
        return TaskResult(
            task_id=spec.task_id,
            prp_id=spec.prp_id,
            status=status,
            attempt=spec.attempt,
            token=spec.token,
            failure_reason=failure,
            errors=errors,
            steps_completed=outcome.steps_completed,
            total_steps=len(spec.steps),
            files_created=changes.created,
            files_modified=changes.modified,
            files_deleted=changes.deleted,
            commits=tuple(self.commits),
            gates=gates,
            base_commit=spec.base_commit,
            head_commit=self.head,
            tree=self.tree,
            usage=outcome.usage,
            tokens_used=outcome.tokens_used,
            cost_usd=outcome.cost_usd,
            session=outcome.session,
            retry_at=outcome.retry_at,
            sandbox=outcome.sandbox,
            fault=outcome.fault if failure == Failure.AGENT_ERROR else "",
            report=_report(outcome.answer),
            looks=self.looks,
            prompt_sha256=outcome.prompt_sha256,
            tools=outcome.tools,
        )


def _report(answer: dict[str, Any]) -> dict[str, Any]:
    """What the agent says of its work: a summary, and which comments of people it has dealt with."""
    if "summary" not in answer:
        return {}
    comments = [{**one, "answer": one["answer"][:SUMMARY_CHARACTERS]} for one in answer.get("comments", ())[:MOST_COMMENTS]]
    return {"summary": answer["summary"][:SUMMARY_CHARACTERS], **({"comments": comments} if comments else {})}


def gate_errors(gates: tuple[GateOutcome, ...]) -> tuple[str, ...]:
    """One sentence for each failed gate: what was checked, how, and how it ended."""
    found = []
    for gate in gates:
        if gate.status == GateStatus.FAILED:
            whose = "" if gate.origin == GateOrigin.PLAN else f"{gate.origin} "
            where = f"phase {gate.phase}: " if gate.phase else ""
            how = f": `{gate.command}` ended with exit code {gate.exit_code}" if gate.exit_code is not None else ""
            note = f" ({gate.note})" if gate.note else ""
            found.append(f'{where}{whose}gate {gate.position} "{gate.text}" failed{how}{note}')
    return tuple(found)
