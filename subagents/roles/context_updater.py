"""Brings the front matter of one PRP document up to date; every other byte of it stays as it is."""

from __future__ import annotations

from subagents.checkout import Checkout
from subagents.contract import ContractError, ResultStatus, TaskResult
from subagents.documents import NotADocument, read_document, with_front_matter
from subagents.open_repository import attached_repository
from subagents.reporting import title_of
from subagents.roles.ask_model import ask, failed, use_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter

SUMMARY_CHARACTERS = 500


def update_context(spec: TaskSpec, reporter: Reporter) -> TaskResult:
    """Set the fields `payload["front"]` {name: text} in the front matter of `payload["path"]`; nothing is committed when all are set.

    Where the backend has a model, its summary of what was built becomes the field `summary`. A document that is missing,
    or without front matter, is left alone and said. Raises ContractError for a payload of another shape, GitError, OSError.
    """
    path, front = spec.payload.get("path"), spec.payload.get("front")
    if not isinstance(path, str) or not isinstance(front, dict) or not all(isinstance(part, str) for row in front.items() for part in row):
        raise ContractError("payload", "needs path and front, a mapping of texts")
    reporter.progress(0, f"Updating {path}", "update_context")
    repository = attached_repository(spec.repository)
    note, commit, tree = "", spec.base_commit, ""
    try:
        text = read_document(repository, spec.base_commit, path)
    except NotADocument as problem:
        text, note = None, str(problem)
    checkout = Checkout(repository, spec.checkout, f"{spec.attempt_dir}/index", spec.attempt_ref)
    outcome = None if text is None else ask(spec, reporter, checkout, text.decode("utf-8", "replace"))
    if outcome is not None and outcome.failure is not None:
        return failed(spec, reporter, outcome)
    if outcome is not None:
        front = {**front, "summary": " ".join(outcome.answer["summary"].split())[:SUMMARY_CHARACTERS]}
    changed = None if text is None else with_front_matter(text, front)
    if changed is None:
        note = note or f"{path} {'is not on the branch' if text is None else 'has no front matter'}; it is left alone"
        reporter.note("warning", "update_context", note)
    elif changed != text:
        tree = checkout.with_file(spec.base_commit, path, changed)
        message = f"{spec.prp_id}: Update context - {title_of(spec.phase_name)}\n"
        commit = checkout.commit(tree, spec.base_commit, message, first=True)
        reporter.head(commit)
    changes = repository.changes(spec.base_commit, commit)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.SUCCESS,
        attempt=spec.attempt,
        token=spec.token,
        files_modified=changes.modified,
        commits=(commit,) if tree else (),
        base_commit=spec.base_commit,
        head_commit=commit,
        tree=tree,
        report={"path": path, "changed": bool(tree), "note": note},
        **use_of(outcome),
    )
