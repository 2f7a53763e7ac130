"""The paths of the contract's files and their archive under a repository's `.ce/orchestration/` (docs/architecture.md)."""

from __future__ import annotations

import contextlib
import errno
import os

from subagents.files import SPEC_BYTES, ContractError, read_json_file
from subagents.record import record


@record
class TaskFiles:
    """The files of a task, absolute paths as text. Only an agent's attempt has a transcript."""

    spec: str
    heartbeat: str
    result: str
    log: str
    transcript: str

    def all(self) -> tuple[str, ...]:
        return (self.spec, self.heartbeat, self.result, self.log, self.transcript)


def task_file_name(name: str, operation: str) -> str:
    """What the files of a task are called by: "2a" for its execution, "2a.review" for another operation.

    So the files of the latest execution stay where they are, whatever looks at the phase later.
    """
    return name if operation in ("execute", "stage_check") else f"{name}.{operation}"


@record
class OrchestrationFiles:
    """Paths under a repository's `.ce/orchestration/`, as text."""

    repository: str

    @property
    def root(self) -> str:
        return os.path.join(self.repository, ".ce", "orchestration")

    def task(self, batch: int, name: str) -> TaskFiles:
        """The files of the task called `name` ("2a", "stage-2", "2a.review"). Raises ContractError for any other kind of name."""
        base = os.path.join(self.root, "tasks", f"batch-{batch:d}", f"task-{_safe(name)}")
        return TaskFiles(base + ".json", base + ".hb", base + ".result.json", base + ".log", base + ".transcript.jsonl")

    def batch_result(self, batch: int) -> str:
        return os.path.join(self.root, "batches", f"batch-{batch:d}.result.json")

    def batch_gates(self, batch: int) -> str:
        """The evidence for the batch's gates (docs/verify.md)."""
        return os.path.join(self.root, "batches", f"batch-{batch:d}.gates.json")

    def batch_verification(self, batch: int) -> str:
        """What the last verification of the batch found."""
        return os.path.join(self.root, "batches", f"batch-{batch:d}.verify.json")

    def archive(self, batch: int, run_number: int, name: str, attempt: int) -> str:
        """The folder that archives the files of one attempt of one run, under their own names."""
        done = os.path.join(self.root, "completed-batches", f"batch-{batch:d}")
        return os.path.join(done, f"run-{run_number:d}", f"task-{_safe(name)}", f"attempt-{attempt:d}")

    def archived_batch_result(self, batch: int, run_number: int) -> str:
        done = os.path.join(self.root, "completed-batches", f"batch-{batch:d}")
        return os.path.join(done, f"run-{run_number:d}", f"batch-{batch:d}.result.json")

    def of_batch(self, batch: int) -> list[str]:
        """Everything that lies here of a batch: folders and files, those that are there."""
        places = [os.path.join(self.root, kind, f"batch-{batch:d}") for kind in ("tasks", "completed-batches")]
        documents = os.path.join(self.root, "batches")
        with contextlib.suppress(FileNotFoundError):
            places += [os.path.join(documents, name) for name in os.listdir(documents) if name.startswith(f"batch-{batch:d}.")]
        return [place for place in places if os.path.lexists(place)]

    def current_attempt(self, batch: int, name: str) -> tuple[int, int] | None:
        """The (run, attempt) of the task's current files; None when there are none, or when their spec cannot be read."""
        try:
            left = read_json_file(self.task(batch, name).spec, SPEC_BYTES)
            return None if left is None else (int(left["run"]), int(left["attempt"]))
        except (ContractError, KeyError, TypeError, ValueError):
            return None

    def archive_task(self, batch: int, run_number: int, name: str, attempt: int) -> str:
        """Archive the task's current files; safe to repeat. Returns the folder. Raises OSError.

        Does nothing when the current files are those of another attempt: its start has archived the earlier ones.
        """
        folder = self.archive(batch, run_number, name, attempt)
        if self.current_attempt(batch, name) not in (None, (run_number, attempt)):
            return folder
        if not os.path.isdir(self.root):  # the repository was moved away: never create a folder in its place
            raise FileNotFoundError(errno.ENOENT, "the repository does not exist", self.repository)
        os.makedirs(folder, exist_ok=True)
        for path in self.task(batch, name).all():
            kept = os.path.join(folder, os.path.basename(path))
            draft = f"{kept}.{os.getpid()}"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            try:
                # A hard link is enough: our files are replaced, never rewritten. A symbolic link that somebody put there stays one.
                os.link(path, draft, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except PermissionError:  # somebody put a folder there
                os.rename(path, f"{kept}.{os.urandom(4).hex()}")
                continue
            os.replace(draft, kept)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)  # rename(2) keeps both names when they are the same file
        return folder


def _safe(name: str) -> str:
    plain = all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name)
    if not name or len(name) > 100 or name[0] in ".-" or not plain:
        raise ContractError("task name", f"{name!r} cannot be part of a file name")
    return name
