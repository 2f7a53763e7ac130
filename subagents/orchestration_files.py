"""Where the contract's files lie under a repository's `.ce/orchestration/` (framework.md §3), and their archive."""

from __future__ import annotations

import contextlib
import errno
import os

from subagents.files import SPEC_BYTES, ContractError, read_json_file
from subagents.record import record


@record
class TaskFiles:
    """The four files of a task, absolute paths as text."""

    spec: str
    heartbeat: str
    result: str
    log: str

    def all(self) -> tuple[str, ...]:
        return (self.spec, self.heartbeat, self.result, self.log)


def task_file_name(name: str, operation: str) -> str:
    """What the files of a task are called by: "2a" for its execution, "2a.review" for another operation.

    So the files of the latest execution stay where they are, whatever looks at the phase later.
    """
    return name if operation in ("execute", "stage_check") else f"{name}.{operation}"


@record
class OrchestrationFiles:
    """Names under a repository's `.ce/orchestration/` (framework.md §3); all paths are text."""

    repository: str

    @property
    def root(self) -> str:
        return os.path.join(self.repository, ".ce", "orchestration")

    def task(self, batch: int, name: str) -> TaskFiles:
        """The files called by `name` ("2a", "stage-2", "2a.review"). Raises ContractError for a name that is no file name."""
        base = os.path.join(self.root, "tasks", f"batch-{batch:d}", f"task-{_safe(name)}")
        return TaskFiles(base + ".json", base + ".hb", base + ".result.json", base + ".log")

    def batch_result(self, batch: int) -> str:
        return os.path.join(self.root, "batches", f"batch-{batch:d}.result.json")

    def archive(self, batch: int, run_number: int, name: str, attempt: int) -> str:
        """The folder that keeps what one attempt of one run left; the files in it keep their names."""
        done = os.path.join(self.root, "completed-batches", f"batch-{batch:d}")
        return os.path.join(done, f"run-{run_number:d}", f"task-{_safe(name)}", f"attempt-{attempt:d}")

    def archived_batch_result(self, batch: int, run_number: int) -> str:
        done = os.path.join(self.root, "completed-batches", f"batch-{batch:d}")
        return os.path.join(done, f"run-{run_number:d}", f"batch-{batch:d}.result.json")

    def attempt_there(self, batch: int, name: str) -> tuple[int, int] | None:
        """(run, attempt) whose files lie in the task's place now; None when there are none, or none that can be read."""
        try:
            left = read_json_file(self.task(batch, name).spec, SPEC_BYTES)
            return None if left is None else (int(left["run"]), int(left["attempt"]))
        except (ContractError, KeyError, TypeError, ValueError):
            return None

    def archive_task(self, batch: int, run_number: int, name: str, attempt: int) -> str:
        """Keep the task's files as they are now in the archive too; safe to repeat. Returns the folder. Raises OSError.

        Does nothing once the files are those of another attempt: the next one's start has put these away already.
        """
        folder = self.archive(batch, run_number, name, attempt)
        if self.attempt_there(batch, name) not in (None, (run_number, attempt)):
            return folder
        if not os.path.isdir(self.root):  # the repository was moved away: never make a folder in its place
            raise FileNotFoundError(errno.ENOENT, "the repository does not exist", self.repository)
        os.makedirs(folder, exist_ok=True)
        for path in self.task(batch, name).all():
            kept = os.path.join(folder, os.path.basename(path))
            draft = f"{kept}.{os.getpid()}"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            try:
                # A hard link: our files are replaced, never rewritten in place. A planted link stays a link.
                os.link(path, draft, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except PermissionError:  # somebody made a folder of it
                os.rename(path, f"{kept}.{os.urandom(4).hex()}")
                continue
            os.replace(draft, kept)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)  # rename(2) leaves both names when they are the same file already
        return folder


def _safe(name: str) -> str:
    plain = all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name)
    if not name or len(name) > 100 or name[0] in ".-" or not plain:
        raise ContractError("task name", f"{name!r} cannot be part of a file name")
    return name
