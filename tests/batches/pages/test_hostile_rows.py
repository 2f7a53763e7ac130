"""Every text of every table is hostile, and every address is opened: no markup comes through, and no page breaks."""

import contextlib
from html.parser import HTMLParser

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, models, transaction

from batches.pages.batches.phase import TABS
from tests.batches import builders
from tests.batches.addresses import Objects, every_address

pytestmark = [pytest.mark.django_db, pytest.mark.engine]

MARKUP = "<b data-x=1>\"'><script src=//x></script><svg/onload=x>\x1b[31m"
# What programs made and compare again, or what an address is made of: it is no text of anybody.
OURS = {
    *("slug", "key", "digest", "password", "secret", "session_key", "device", "network", "commit", "base_commit", "head_commit", "tree"),
    *("task_id", "token", "ref", "branch_commit", "boot_id", "session", "subject", "asked_by", "payload_key", "action_key"),
    *("status", "state", "kind", "origin", "operation", "verdict", "decision", "event", "from_state", "to_state", "moment"),  # words
    *("dependencies", "waits_for", "blocked_by", "phase", "phases", "stages", "after"),  # keys of phases
}


class Found(HTMLParser):
    """Collects what of MARKUP has become markup."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if names.get("data-x") == "1" or names.get("src") == "//x" or "onload" in names or tag == "svg/onload=x":
            self.tags.append(tag)


def hostile(value: object) -> object:
    """A JSON value with each text in it made hostile; keys and words that programs read stay."""
    if isinstance(value, str):
        return value + MARKUP
    if isinstance(value, list):
        return [hostile(item) for item in value]
    if isinstance(value, dict):
        return {key: item if key in OURS else hostile(item) for key, item in value.items()}
    return value


def make_hostile(row: models.Model) -> set[str]:
    """Make the texts of a row hostile where the table lets them be; the names of the fields that are."""
    done = set()
    for field in row._meta.concrete_fields:
        value = field.value_from_object(row)
        if field.name in OURS or field.choices or field.primary_key:
            continue
        if isinstance(field, models.JSONField) and value:
            changed = hostile(value)
        elif type(field) in (models.TextField, models.CharField):
            room = field.max_length or 10_000
            text = f"{value or ''}"[: max(0, room - len(MARKUP) - 6)] + f"{row.pk}{MARKUP}"
            changed = text if len(text) <= room else f"{row.pk}<b data-x=1>"[:room]
        else:
            continue
        with contextlib.suppress(IntegrityError), transaction.atomic():
            type(row)._base_manager.filter(pk=row.pk).update(**{field.name: changed})
            done.add(field.name)
    return done


@pytest.fixture
def objects() -> Objects:
    return Objects(builders.make_project(), builders.make_user("root"))


def test_no_text_of_any_table_becomes_markup_on_any_page(client, objects):
    made: dict[str, set[str]] = {}
    paths = every_address(objects)
    client.force_login(objects.user)
    kinds = [*apps.get_app_config("batches").get_models(), Group, User]
    for kind in kinds:
        for row in kind._base_manager.all():
            made[kind.__name__] = make_hostile(row)
    assert sum(bool(names) for names in made.values()) > 15, made
    marked = {}
    for name, path in paths.items():
        for query in [f"?tab={tab}" for tab in TABS] if name == "batches:phase" else [""]:
            answer = client.get(path + query)
            if answer.get("Content-Type", "").startswith("text/html"):
                reader = Found()
                reader.feed(answer.text)
                marked |= {path + query: reader.tags} if reader.tags else {}
    assert marked == {}
