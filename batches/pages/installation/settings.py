"""Settings of the whole installation, for administrators: default backend, API key, limits of this host."""

from collections.abc import Callable
from functools import wraps

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from batches.accounts.roles import CHANGE_INSTALLATION
from batches.core.engine import pricing
from batches.core.text import words
from batches.integrations.api_keys import api_key
from batches.integrations.installation_settings import set_default_backend
from batches.models import Host, Installation, SettingChange
from batches.models.choices import BACKEND_CHOICES
from batches.pages.common import actor_of
from batches.pages.forms import Described
from batches.pages.installation.limits import limits_of_host
from batches.projects.monthly_budget import month_to_date

CHANGES_SHOWN = 20
View = Callable[[HttpRequest], HttpResponse]


class InstallationForm(Described, forms.Form):
    """Settings for all projects."""

    default_backend = forms.ChoiceField(
        choices=BACKEND_CHOICES,
        label="Backend of new projects",
        help_text="Each project can choose another.",
    )


class ApiKeyForm(Described, forms.Form):
    """An API key, entered once and never shown again."""

    key = forms.CharField(
        max_length=1000,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Stored encrypted and never shown again.",
    )


def for_admins(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(CHANGE_INSTALLATION):
            raise PermissionDenied("The settings of the installation require the group admin.")
        return view(request)

    return guarded


@require_http_methods(["GET", "HEAD", "POST"])
@for_admins
def installation(request: HttpRequest) -> HttpResponse:
    """The page. POST saves the default backend."""
    row = Installation.objects.filter(pk=1).first() or Installation(pk=1)
    form = InstallationForm(request.POST or None, initial={"default_backend": row.default_backend})
    if request.method == "POST" and form.is_valid():
        set_default_backend(backend=form.cleaned_data["default_backend"], actor=actor_of(request))
        messages.success(request, "Saved.")
        return redirect("batches:settings")
    return settings_page(request, form, ApiKeyForm(), 400 if form.errors else 200)


def settings_page(request: HttpRequest, form: InstallationForm, key_form: ApiKeyForm, status: int) -> HttpResponse:
    key = api_key()
    context = {
        "form": form,
        "key_form": key_form,
        "key": {"source": key.source, "ending": key.ending, "problem": key.problem, "there": bool(key.value)},
        "kept": Installation.objects.filter(pk=1).exclude(api_key="").exists(),
        "address": settings.CE_API_BASE_URL,
        "models": pricing.MODELS.values(),
        "sandboxes": [(host.name, host.facts.get("sandbox", words.UNKNOWN)) for host in Host.objects.all()],
        "asked": settings.CE_SANDBOX,
        "limits": limits_of_host(),
        "month": month_to_date(None, timezone.now()),
        "changes": SettingChange.objects.all()[:CHANGES_SHOWN],
    }
    return render(request, "installation/settings.html", context, status=status)
