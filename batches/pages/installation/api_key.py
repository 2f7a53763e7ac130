"""Buttons about the API key of the agents: save it, remove it, test it."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.core.errors import ServiceError
from batches.integrations.api_key_test import try_api_key
from batches.integrations.installation_settings import forget_api_key, keep_api_key
from batches.models import Installation
from batches.pages.accounts.sign_in import confirmed
from batches.pages.common import act, actor_of
from batches.pages.installation.settings import ApiKeyForm, InstallationForm, for_admins, settings_page


@require_POST
@for_admins
@confirmed
def keep_key(request: HttpRequest) -> HttpResponse:
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        row = Installation.objects.filter(pk=1).first() or Installation(pk=1)
        return settings_page(request, InstallationForm(initial={"default_backend": row.default_backend}), form, 400)

    def verb() -> str:
        keep_api_key(key=form.cleaned_data["key"], actor=actor_of(request))
        return "The key is stored, encrypted."

    return act(request, verb, reverse("batches:settings"))


@require_POST
@for_admins
@confirmed
def forget_key(request: HttpRequest) -> HttpResponse:
    def verb() -> str:
        forget_api_key(actor=actor_of(request))
        return "The stored key has been deleted."

    return act(request, verb, reverse("batches:settings"))


@require_POST
@for_admins
def try_key(request: HttpRequest) -> HttpResponse:
    def verb() -> str:
        trial = try_api_key(actor=actor_of(request))
        if not trial.works:
            raise ServiceError(trial.said)
        return trial.said

    return act(request, verb, reverse("batches:settings"))
