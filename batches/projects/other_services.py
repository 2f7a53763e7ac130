"""The other services that a project notifies, as they are set."""

from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_INSTALLATION
from batches.accounts.sealed import seal
from batches.core.errors import ServiceError, WrongChoice
from batches.integrations.other_services import MOST_SERVICES, names_its_host


def sealed_services(text: str, actor: Actor) -> str:
    """The addresses of `text`, one per line, sealed. Raises ServiceError for one that is of no use, or that somebody else has to set."""
    addresses = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if len(addresses) > MOST_SERVICES:
        raise ServiceError(f"These are {len(addresses)} other services; at most {MOST_SERVICES} are allowed.")
    for number, address in enumerate(addresses, start=1):
        try:
            own_host = names_its_host(address)
        except WrongChoice as problem:
            raise ServiceError(f"Other services, line {number}: {problem}") from None
        if own_host and actor.user is not None and not actor.user.has_perm(CHANGE_INSTALLATION):
            scheme = address.partition(":")[0]
            raise ServiceError(f"Other services, line {number}: {scheme}:// names a host, so an administrator of the installation sets it.")
    return seal("\n".join(addresses)) if addresses else ""
