"""Keeps the unfinished work of an attempt that is stopped from outside: one more commit at the attempt's reference.

The supervisor has it done, in a process of its own, when nothing of the attempt is alive any more. So it works for every
backend, and for a runner that hangs. Nobody's claim counts: what is taken is what is in the checkout.
"""

from __future__ import annotations

import os

from subagents import own_git
from subagents.checkout import Checkout
from subagents.contract import Role, TaskType, dump_json
from subagents.files import SubagentError
from subagents.open_repository import attached_repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from subagents.contract import TaskSpec
    from subagents.journal import Journal

SUBJECT = "Unfinished work of a stopped attempt"


def has_work(spec: TaskSpec) -> bool:
    """Whether an attempt of this kind has work to keep: others change no file of the project."""
    return spec.role == Role.EXECUTOR and spec.type == TaskType.EXECUTE


def keep_and_exit(spec: TaskSpec, links: Sequence[str], journal: Journal, pipe: int) -> NoReturn:
    """Commit what is in the checkout, write what `commit_unfinished` returns to the pipe as JSON, and end this process."""
    try:
        os.umask(0o022)
        own_git.keep_in(os.path.join(spec.attempt_dir, "git"))
        answer = memoryview(dump_json(commit_unfinished(spec, links)))
        while answer:
            answer = answer[os.write(pipe, answer) :]
    except (SubagentError, OSError, MemoryError) as error:
        journal.event("warning", "not_kept", f"the unfinished work could not be committed: {error}")
    finally:
        os._exit(0)


def commit_unfinished(spec: TaskSpec, links: Sequence[str]) -> dict[str, Any]:
    """Commit what is in the checkout; returns {"head_commit", "files_created", "files_modified", "files_deleted"}.

    `links` lead into the project's environment and are no part of the work. Raises SubagentError, OSError.
    """
    repository = attached_repository(spec.repository)
    checkout = Checkout(repository, spec.checkout, f"{spec.attempt_dir}/index", spec.attempt_ref, provided=tuple(links))
    checkout.unlock()  # of a git that was killed
    kept = repository.find_commit(spec.attempt_ref)
    head = kept or str(spec.payload.get("start", "")) or spec.base_commit
    tree = checkout.snapshot(head)
    if tree != repository.tree(head):
        head = checkout.commit(tree, head, f"{spec.prp_id}: {SUBJECT}\n", first=kept is None)
    changes = repository.changes(spec.base_commit, head)
    return {
        "head_commit": head,
        "files_created": list(changes.created),
        "files_modified": list(changes.modified),
        "files_deleted": list(changes.deleted),
    }
