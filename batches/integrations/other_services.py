"""Messages to all that the library apprise knows by an address of its own, such as tgram://TOKEN/CHAT or ntfys://HOST/TOPIC.

Only services that are spoken to by HTTP are taken, no attachment is ever sent, and the library is used within `only_public`.
Why so: docs/decisions/other-services.md.
"""

import logging
import re
import sys
from typing import TYPE_CHECKING

from django.utils.crypto import salted_hmac

from batches.accounts.sealed import unseal
from batches.core.errors import WrongChoice
from batches.integrations.only_public import only_public
from batches.integrations.webhook import SEND_SECONDS, WebhookError
from batches.models import Project

if TYPE_CHECKING:
    from apprise import NotifyBase

MOST_SERVICES = 10
RECEIVER_CHARACTERS = 16


def receiver_of(address: str) -> str:
    """What tells an address from others, without telling it."""
    return salted_hmac("batches.other_services", address).hexdigest()[:RECEIVER_CHARACTERS]


def addresses_of(project: Project) -> dict[str, str]:
    """{receiver: address} of the project's other services. Raises Unreadable."""
    lines = unseal(project.notify_others_sealed).splitlines() if project.notify_others_sealed else []
    return {receiver_of(line): line for line in lines}


def names_its_host(address: str) -> bool:
    """Whether the address says which host is spoken to; otherwise the service does. Raises WrongChoice for one that cannot be used."""
    kind, _made = _service(address)
    return any("{host}" in str(template) for template in list[object](kind.templates))


def post(address: str, title: str, text: str, *, private: bool = False, seconds: float = SEND_SECONDS) -> None:
    """Send one message. Raises WebhookError."""
    try:
        kind, made = _service(address)
    except WrongChoice as problem:
        raise WebhookError(str(problem)) from None
    made.throttle = _no_rest  # type: ignore[method-assign]
    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    try:
        with only_public(seconds, private=private) as block:
            taken = made.notify(body=text, title=title)
    except Exception as problem:  # noqa: BLE001 -- the plug-ins of the library are many, and not all catch what they should
        taken, heard.last = False, type(problem).__name__
    finally:
        logger.removeHandler(heard)
    name = str(kind.service_name)
    if not taken and block.late:
        raise WebhookError(f"{name} did not answer within {seconds:g} s.")
    if not taken:
        status = re.search(r"\berror=(\d{3})\b", heard.last)
        raise WebhookError(f"{name}: {block.refused}" if block.refused else f"{name} did not take the message{_in(status)}.")


def _in(status: "re.Match[str] | None") -> str:
    return f" ({status[1]})" if status else ""


def _service(address: str) -> "tuple[type[NotifyBase], NotifyBase]":
    """The kind of service, and the service. Raises WrongChoice."""
    import apprise  # here: it takes 0.7 s, and few installations use it
    import requests.sessions
    from apprise.common import PersistentStoreMode
    from apprise.manager_plugins import NotificationManager

    from batches.integrations.limited_adapter import LimitedAdapter

    requests.sessions.HTTPAdapter = LimitedAdapter  # type: ignore[attr-defined]  # for all plug-ins; nothing else here uses requests
    logging.getLogger("apprise").propagate = False  # our own log has the outcome, without addresses
    known = NotificationManager()  # type: ignore[no-untyped-call]
    scheme = address.partition("://")[0].lower()
    kind = known[scheme] if "://" in address and scheme in known else None
    if kind is None or not hasattr(sys.modules[kind.__module__], "requests"):
        raise WrongChoice(f"{scheme[:20]}:// is no service that is spoken to by HTTP.")
    asset = apprise.AppriseAsset(async_mode=False, secure_logging=True, storage_mode=PersistentStoreMode.MEMORY)
    asset.app_id = asset.app_desc = "CE Web"
    with only_public(SEND_SECONDS, private=False) as block:
        made = apprise.Apprise.instantiate(address, asset=asset)
    if made is None:
        raise WrongChoice(f"{scheme}://: {block.refused or 'the rest of the address is not as this service needs it.'}")
    return kind, made


def _no_rest(*_arguments: object, **_more: object) -> None:
    """For the library's pauses between messages, and those that a service asks for: a message that is not taken is tried again later."""


class _Heard(logging.Handler):
    """The last thing that the library has warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()
