"""Forms of the pages of plans and ideas."""

from decimal import Decimal
from uuid import uuid4

from django import forms

from batches.pages.forms import Described, SeenProject


class IdeaCap(Described, forms.Form):
    """What an idea may cost."""

    cap_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Cap, US dollars",
        help_text="The most that all of it may cost, revisions included. Empty: the project's limit per phase, if it has one.",
    )  # fmt: skip


class IdeaNew(IdeaCap):
    """What a person wants done, with what belongs to it."""

    project = SeenProject(empty_label=None)
    text = forms.CharField(
        required=False, strip=False, label="What you want", widget=forms.Textarea(attrs={"rows": 8, "autofocus": True}),
        help_text="In your own words, or a pasted issue. The agent reads the repository and asks what it must know.",
    )  # fmt: skip
    issue = forms.CharField(
        required=False, max_length=500, label="Link to an issue",
        help_text="Of the project's code host or Linear team; also #12 or ENG-12. Read with its comments and the project's token.",
    )  # fmt: skip
    document = forms.CharField(
        required=False, strip=False, label="A document that belongs to it", widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Such as a specification. Paste it, or choose a text file below.",
    )  # fmt: skip
    source = forms.CharField(required=False, max_length=500, widget=forms.HiddenInput)
    sent = forms.UUIDField(required=False, widget=forms.HiddenInput, initial=uuid4)  # identifies this form, however often it is sent
    paths = forms.CharField(
        required=False, label="Files of the repository to look at", widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="Paths, one per line. Not needed: the agent looks around by itself.",
    )  # fmt: skip
    translate = forms.BooleanField(
        required=False,
        label="The document is a plan: say it in our format",
        help_text="Nothing is asked or added. A list says what became of each of its lines.",
    )
