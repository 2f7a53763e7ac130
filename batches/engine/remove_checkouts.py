"""Remove checkouts that were left because the ticker died between recording a success and cleaning up."""

import logging
import os

from batches.models import Attempt, Run
from subagents import launcher
from subagents.contract import SubagentError, TaskSpec

logger = logging.getLogger(__name__)


def remove_checkouts(run: Run, host: str) -> None:
    """Remove those that the run's successes left on this host. What is in no commit stays (subagents/launcher.py)."""
    for attempt in Attempt.objects.filter(task__run=run, host=host, outcome=Attempt.Outcome.SUCCEEDED).only("checkout", "spec"):
        if os.path.isdir(attempt.checkout):
            try:
                launcher.remove_checkout(TaskSpec.from_json(attempt.spec))
            except (OSError, SubagentError) as error:
                logger.error("attempt=%s checkout not removed: %s", attempt.pk, error)
