"""Test the API key of the agents by asking for the list of models."""

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from django.conf import settings
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_INSTALLATION
from batches.core.errors import ServiceError
from batches.core.text.words import counted
from batches.integrations.api_keys import api_key
from batches.models import Installation
from subagents.contract import EXACT_MODEL

TRY_SECONDS = 10.0
ANSWER_BYTES = 256 * 1024
MOST_MODELS = 200


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
    except (TimeoutError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        said = f"did not answer within {seconds:g} s" if isinstance(reason, TimeoutError) else f"cannot be reached: {reason}"
        return Trial(False, f"{address} {said}. The key is neither accepted nor refused.")
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
