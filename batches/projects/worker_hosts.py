"""Which worker hosts execute the batches of a project, and the remote through which they get its work."""

import os

from django.conf import settings

from batches.core.errors import ServiceError
from batches.integrations.webhook import WebhookError, check_url
from batches.models import Host, Project


def check_worker_hosts(project: Project, changes: dict[str, object]) -> None:
    """Raises ServiceError for worker hosts that the project's work could not reach, naming the setting."""
    if not {"worker_hosts", "remote", "forge"} & set(changes):
        return
    names = str(changes.get("worker_hosts", project.worker_hosts)).split()
    if unknown := [name for name in names if not Host.objects.exclude(directory="").filter(name=name).exists()]:
        known = ", ".join(Host.objects.exclude(directory="").values_list("name", flat=True)) or "none"
        raise ServiceError(f"No worker host is called {', '.join(unknown)}. Known: {known}. One is known once it has been started.")
    remote = str(changes.get("remote", project.remote)).strip()
    if names and not remote and not changes.get("forge", project.forge):
        raise ServiceError("Worker hosts have no repository of this project: set Remote, from which they clone, or its code host.")
    if remote and not remote.startswith("/"):
        try:
            check_url(remote, private=settings.CE_FORGE_PRIVATE, what="The remote")
        except WebhookError as problem:
            raise ServiceError(str(problem)) from None
    data = os.path.realpath(settings.CE_DATA_DIR)
    if remote.startswith("/") and os.path.commonpath([os.path.realpath(remote), data]) == data:
        raise ServiceError(f"{remote} lies in CE Web's data directory, where commands of plans write: choose another place.")
    changes["remote"] = remote
