"""Writes one PRP document into the batch branch's line of work, with what a model knows of the repository where there is one."""

from __future__ import annotations

from subagents.checkout import Checkout
from subagents.contract import ContractError, ResultStatus, TaskResult
from subagents.open_repository import attached_repository
from subagents.reporting import title_of
from subagents.roles.ask_model import ask, failed, use_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter


NOTES = "## Notes from the repository"
NOTES_CHARACTERS = 10_000


def generate(spec: TaskSpec, reporter: Reporter) -> TaskResult:
    """Commit `payload["text"]` at `payload["path"]`, relative to the repository's top; a model's notes become its last section.

    Raises ContractError for a payload of another shape or a path that leaves the tree, GitError, OSError.
    """
    path, text = spec.payload.get("path"), spec.payload.get("text")
    if not isinstance(path, str) or not isinstance(text, str):
        raise ContractError("payload", "needs path and text")
    _check_path(path)
    reporter.progress(0, f"Writing {path}", "generate")
    repository = attached_repository(spec.repository)
    checkout = Checkout(repository, spec.checkout, f"{spec.attempt_dir}/index", spec.attempt_ref)
    outcome = ask(spec, reporter, checkout, text)
    if outcome is not None and outcome.failure is not None:
        return failed(spec, reporter, outcome)
    if outcome is not None:
        text = with_notes(text, outcome.answer["notes"])
    tree = checkout.with_file(spec.base_commit, path, text.encode("utf-8", "replace"))
    message = f"{spec.prp_id}: Generate - {title_of(spec.phase_name)}\n"
    commit = checkout.commit(tree, spec.base_commit, message, first=True)
    reporter.head(commit)
    changes = repository.changes(spec.base_commit, commit)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.SUCCESS,
        attempt=spec.attempt,
        token=spec.token,
        files_created=changes.created,
        files_modified=changes.modified,
        commits=(commit,),
        prps_generated=(path,),
        base_commit=spec.base_commit,
        head_commit=commit,
        tree=tree,
        **use_of(outcome),
    )


def with_notes(document: str, notes: str) -> str:
    """The document with a model's notes as its last section. They hold no heading: what rules read of a PRP stays as it was."""
    lines = [line.lstrip().lstrip("#").lstrip() if line.lstrip().startswith("#") else line for line in notes.split("\n")]
    text = "\n".join(lines).strip()[:NOTES_CHARACTERS].rstrip()
    return f"{document.rstrip()}\n\n{NOTES}\n\n{text}\n" if text else document


def _check_path(path: str) -> None:
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower().startswith(".git") for part in parts) or "\0" in path or "\\" in path:
        raise ContractError("payload: path", f"{path!r} is not a plain path inside the repository")
