"""What a project says of its code host: the kind, and the address of the repository there."""

from urllib.parse import urlsplit

from django.conf import settings

from batches.core.errors import ServiceError
from batches.integrations.code_hosts.home import split_address
from batches.integrations.code_hosts.types import ForgeError
from batches.integrations.webhook import WebhookError, check_url
from batches.models import Project


def check_code_host(project: Project, changes: dict[str, object]) -> None:
    """Tidy the address of the code host. Raises ServiceError if it cannot be used, or lacks its kind."""
    if not {"forge", "forge_address", "forge_fork"} & set(changes):
        return
    kind = str(changes.get("forge", project.forge))
    address = str(changes.get("forge_address", project.forge_address)).strip()
    if bool(kind) != bool(address):
        raise ServiceError("A code host needs both: its kind and the address of the repository there.")
    if kind:
        try:
            root, path = split_address(kind, address)
            check_url(f"{root}/{path}", private=settings.CE_FORGE_PRIVATE, what="The address of a code host")
        except (ForgeError, WebhookError) as problem:
            raise ServiceError(str(problem)) from None
        address = f"{root}/{path}"
    changes["forge_address"] = address
    changes["forge_fork"] = _fork_of(kind, address, str(changes.get("forge_fork", project.forge_fork)).strip())
    moved = bool(project.forge_address) and urlsplit(address)[:2] != urlsplit(project.forge_address)[:2]
    if moved and "forge_token_sealed" not in changes:
        changes["forge_token_sealed"] = ""  # a token is for the host that it was entered for


def _fork_of(kind: str, address: str, fork: str) -> str:
    """The address of a fork, tidied; "" for the repository itself. Raises ServiceError for one at another host."""
    if not fork or not kind:
        return ""
    try:
        root, path = split_address(kind, fork)
    except ForgeError as problem:
        raise ServiceError(f"Fork: {problem}") from None
    if root != split_address(kind, address)[0]:
        raise ServiceError("A fork is at the same code host as the repository that it was made of.")
    return "" if f"{root}/{path}" == address else f"{root}/{path}"
