"""Settings of the whole installation, and a test of the API key. Each change records who made it and when."""

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format

from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_INSTALLATION
from batches.accounts.sealed import seal
from batches.core.errors import ServiceError
from batches.core.text.words import counted
from batches.integrations.api_keys import api_key
from batches.models import Installation, SettingChange
from subagents.backends import BACKENDS
from subagents.contract import EXACT_MODEL

TRY_SECONDS = 10.0
ANSWER_BYTES = 256 * 1024
MOST_MODELS = 200


def offered_models() -> list[str]:
    """Ids of the models that the provider listed when the key was tested last; [] before that. Asks nobody."""
    return list(Installation.objects.filter(pk=1).values_list("listed_models", flat=True).first() or [])


def listed_words() -> str:
    """How old that list is, in a sentence; "" without one."""
    listed, at = Installation.objects.filter(pk=1).values_list("listed_models", "listed_at").first() or ([], None)
    if not listed:
        return ""
    when = f" {date_format(timezone.localtime(at), 'j F Y')}" if at else " some time ago"
    return f"Exact ids are offered as the provider listed them{' on' if at else ''}{when}; testing the key renews the list."


def set_default_backend(*, backend: str, actor: Actor) -> None:
    """Set the backend of new projects. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_INSTALLATION, None)
    if backend not in BACKENDS:
        raise ServiceError(f"Unknown backend {backend!r}. Backends: {', '.join(BACKENDS)}.")
    _change({"default_backend": backend}, "default backend", actor)


def keep_api_key(*, key: str, actor: Actor) -> None:
    """Store a key, encrypted. It is never shown again. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_INSTALLATION, None)
    key = key.strip()
    if not re.fullmatch(r"[!-~]{8,1000}", key):
        raise ServiceError("A key is 8 to 1000 visible ASCII characters, without spaces.")
    _change({"api_key": seal(key), "listed_models": []}, "API key", actor)  # another key may see other models


def forget_api_key(*, actor: Actor) -> None:
    """Remove the stored key. Raises PermissionDenied."""
    actor.require(CHANGE_INSTALLATION, None)
    _change({"api_key": "", "listed_models": []}, "API key removed", actor)


def _change(values: dict[str, object], name: str, actor: Actor) -> None:
    with transaction.atomic():
        Installation.objects.update_or_create(pk=1, defaults=values)
        SettingChange.objects.create(cause=actor.cause, name=name)


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a test of the API key."""

    works: bool
    said: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Do not follow redirects: the key would be sent along."""


def try_api_key(*, actor: Actor, seconds: float = TRY_SECONDS) -> Trial:
    """Test the key by listing the API's models, which is free. Raises ServiceError without a key, PermissionDenied."""
    actor.require(CHANGE_INSTALLATION, None)
    key, address = api_key(), settings.CE_API_BASE_URL
    if not key.value:
        raise ServiceError(f"The key cannot be tested. {key.problem}")
    headers = {**key.headers, "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(f"{address}/v1/models?limit=1000", headers=headers)  # noqa: S310 -- env_url lets https, and http on this machine, through
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds) as answer:
            body = json.loads(answer.read(ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        return Trial(False, _refusal(error.code, address))
    except TimeoutError:
        return Trial(False, f"{address} did not answer within {seconds:g} s. The key is neither accepted nor refused.")
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            return Trial(False, f"{address} did not answer within {seconds:g} s. The key is neither accepted nor refused.")
        return Trial(False, f"{address} cannot be reached: {error.reason}. The key is neither accepted nor refused.")
    except (OSError, HTTPException, ValueError) as error:
        return Trial(False, f"{address} did not answer like the API ({type(error).__name__}).")
    if not isinstance(body, dict) or "data" not in body:
        return Trial(False, f"{address} did not answer like the API.")
    listed = [str(model.get("id", "")) for model in body["data"] if isinstance(model, dict)]
    ids = [one for one in listed if re.fullmatch(EXACT_MODEL, one)][:MOST_MODELS]
    Installation.objects.update_or_create(pk=1, defaults={"listed_models": ids, "listed_at": timezone.now()})
    models = f" It lists {counted(len(listed), 'model')}, such as {', '.join(listed[:3])}." if listed else " It lists no models."
    return Trial(True, f"The key works: asked for its models with the {key.kind} from {key.source}, {address} accepted it.{models}")


def _refusal(code: int, address: str) -> str:
    if code in (401, 403):
        return f"{address} refused the key ({code}). Enter another one."
    if code == 429:
        return f"{address} reported a rate limit ({code}). The key was recognised."
    if code == 404:
        return f"{address} has no list of models ({code}), so the key cannot be tested. Is the address right?"
    return f"{address} answered {code}. The key is neither accepted nor refused; try again later."
