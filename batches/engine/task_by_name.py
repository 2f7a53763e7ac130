"""The phase of a run that somebody names."""

from collections.abc import Sequence

from batches.core.errors import WrongChoice
from batches.models import Run, Task


def task_of(run: Run, name: str) -> Task:
    """The task of a run with this name, whatever its case. Raises WrongChoice with those that there are."""
    return named(list(run.tasks.select_related("run__batch__project")), name)


def named(tasks: Sequence[Task], name: str) -> Task:
    """That of a run's tasks with this name, as `task_of`."""
    found = next((task for task in tasks if task.name.lower() == name.strip().lower()), None)
    if found is None:
        raise WrongChoice(f"This run has no phase {name!r}; it has: {', '.join(task.name for task in tasks)}.")
    return found
