"""Forms of people, passwords and tokens."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib.auth.models import User

from batches.accounts.api_tokens import LIVES_DAYS
from batches.accounts.roles import ADMIN, AUTHOR, EXECUTOR, VIEWER
from batches.models import ApiToken, PersonalNotifications
from batches.pages.forms import Described, SeenProject

ROLE_CHOICES = [
    (VIEWER, "viewer: can see everything"),
    (AUTHOR, "author: can also write plans"),
    (EXECUTOR, "executor: can also execute plans, which runs code"),
    (ADMIN, "admin: can also manage projects, settings and people"),
]
WAYS = [("link", "a one-time link, valid for a day"), ("password", "a password")]


class UserNew(Described, forms.Form):
    """A new person."""

    name = forms.CharField(
        max_length=150, label="User name", widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"})
    )
    email = forms.EmailField(required=False, max_length=254, label="Email address", help_text="Optional.")
    role = forms.ChoiceField(choices=ROLE_CHOICES)
    way = forms.ChoiceField(choices=WAYS, label="First sign-in by", help_text="Shown once, so that you can pass it on.")


class UserChange(Described, forms.Form):
    email = forms.EmailField(required=False, max_length=254, label="Email address")
    role = forms.ChoiceField(choices=ROLE_CHOICES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.initial.get("role"):
            self.choose_from("role", [("", "none: sees only projects as their member"), *ROLE_CHOICES])


class OwnPassword(Described, forms.Form):
    """One's own new password. A person without a password, signed in by a link, enters no old one."""

    old = forms.CharField(
        label="Current password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    new = forms.CharField(
        label="New password",
        strip=False,
        help_text="At least 10 characters, and not a common password.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "10"}),
    )
    again = forms.CharField(label="Repeat new password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    def __init__(self, *args: Any, user: User, is_right: Callable[[str], bool] | None = None, **kwargs: Any) -> None:
        """`is_right` says whether a text is the old password; a form that is only shown needs none."""
        super().__init__(*args, **kwargs)
        self.is_right = is_right
        if not user.has_usable_password():
            del self.fields["old"]

    def clean_old(self) -> str:
        if self.is_right is None or not self.is_right(self.cleaned_data["old"]):
            raise forms.ValidationError("This is not your current password.")
        return ""

    def clean_again(self) -> str:
        if self.cleaned_data["again"] != self.cleaned_data.get("new"):
            raise forms.ValidationError("The two new passwords differ.")
        return ""


class TokenNew(Described, forms.Form):
    """A new API token."""

    name = forms.CharField(max_length=80, label="Purpose", help_text="For example: nightly job on build-3.")
    scope = forms.ChoiceField(
        choices=ApiToken.Scope.choices, required=False, initial="read", label="May", help_text="Never more than you may do yourself."
    )
    project = SeenProject(required=False, empty_label="all that you see", label="For the project")
    lives = forms.ChoiceField(
        choices=[*((str(days), f"{days} days") for days in LIVES_DAYS), ("", "until it is revoked")],
        required=False,
        initial="90",
        label="Works for",
    )

    @property
    def days(self) -> int | None:
        return int(self.cleaned_data["lives"]) if self.cleaned_data["lives"] else None


class OwnNotifications(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Of what a person gets mail, and when."""

    class Meta:
        model = PersonalNotifications
        fields = ["of", "zone", "ended", "needs_person", "quiet_from", "quiet_to", "digest_at"]
        widgets = {
            "zone": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            **{name: forms.TimeInput(format="%H:%M", attrs={"type": "time"}) for name in ("quiet_from", "quiet_to", "digest_at")},
        }
        labels = {
            "of": "Mail to me for",
            "zone": "My time zone",
            "ended": "A batch has ended",
            "needs_person": "A batch needs a person",
            "quiet_from": "Quiet from",
            "quiet_to": "Quiet until",
            "digest_at": "One message a day, at",
        }
        help_texts = {
            "of": "Only of projects that you may see.",
            "zone": "Such as Europe/Vienna.",
            "quiet_from": "Nothing comes in the quiet hours, also not that a batch needs a person.",
            "quiet_to": "Then all that was held back comes.",
            "digest_at": "All since the last one. Empty: at once.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.fields["zone"].widget.attrs["data-own-zone"] = True  # the browser knows it
