"""The style page: every component of the pages in every state, for who changes them. It is there with DEBUG only."""

from decimal import Decimal

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from batches.core.text.state_styles import STATE_STYLES
from batches.pages.forms import Described
from batches.templatetags.ce import SEGMENTS

ICONS = ("auto", "chart", "folder", "logo", "moon", "pause", "plan", "play", "plus", "retry", "stages", "stop", "sun")


class Fields(Described, forms.Form):
    """One field of each kind."""

    text = forms.CharField(help_text="What it is for.")
    number = forms.IntegerField(required=False)
    choice = forms.ChoiceField(choices=[("a", "The first"), ("b", "The second")])
    many = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), label="Many lines")
    on = forms.BooleanField(required=False, label="On or off", help_text="Saved with the others.")
    fixed = forms.CharField(disabled=True, initial="cannot be changed", label="Disabled")


@require_safe
def style(request: HttpRequest) -> HttpResponse:
    themes = [
        {"name": name, "fields": Fields(auto_id=f"{name}-%s"), "wrong": Fields({}, auto_id=f"{name}-wrong-%s")}
        for name in ("light", "dark")
    ]
    context = {"themes": themes, "states": list(STATE_STYLES), "styles": SEGMENTS, "counts": dict.fromkeys(SEGMENTS, 2), "icons": ICONS}
    context["figures"] = [("Phases", "7"), ("Cost", f"${Decimal('1.15')}"), ("Unknown", "—")]
    return render(request, "style/style.html", context)
