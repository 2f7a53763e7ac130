"""An issue of the project's code host is read with its comments; of no other repository."""

from collections.abc import Iterator

import pytest

from batches.accounts.sealed import seal
from batches.core.errors import ServiceError
from batches.core.text.issue import CHARACTERS, IssueText, Said, document_of
from batches.integrations.issue_trackers import read_issue
from batches.models import Project
from tests.batches import builders
from tests.batches.forge_servers import ForgeServer, GiteaServer, GitHubServer, GitLabServer, answers
from tests.git_server import TOKEN

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[GitHubServer, GitLabServer, GiteaServer], ids=lambda one: one.kind)
def forge(request, settings) -> Iterator[ForgeServer]:
    settings.CE_FORGE_PRIVATE = True
    with request.param().serve() as made:
        text = "As JSON.\r\n![a picture](https://example.org/a.png)"
        made.issues[12] = {"title": "Export it", "text": text, "said": [("bob", "Or YAML.")]}
        yield made


@pytest.fixture
def project(forge) -> Project:
    made = builders.make_project()
    columns = {"forge": forge.kind, "forge_address": forge.address, "forge_token_sealed": seal(TOKEN)}
    Project.objects.filter(pk=made.pk).update(**columns)
    return Project.objects.get(pk=made.pk)


def test_it_is_read_by_its_number_or_its_link_with_what_was_said(project, forge):
    middle = "/-" if forge.kind == "gitlab" else ""
    for address in ("#12", f" {forge.address}{middle}/issues/12 ", f"{forge.address}{middle}/issues/12#note_3"):
        found = read_issue(project, address)
        assert document_of(found) == (
            "# #12: Export it\n\nAs JSON.\n![a picture](https://example.org/a.png)\n\n## bob says\n\nOr YAML."
        )
        assert found.url.endswith("issues/12")


def test_what_cannot_be_read_is_said_with_a_way_out(project, forge):
    for address, said in (
        ("#13", "nothing there that this token can see"),
        (f"{forge.address}/pulls/12", "is no link to an issue"),
        (f"{forge.url}/ada/other/issues/12", "has no Linear team"),
    ):
        with pytest.raises(ServiceError, match=said) as caught:
            read_issue(project, address)
        assert "Paste its text instead." in str(caught.value) and TOKEN not in str(caught.value)
    forge.instead = [answers(200, {"title": 7})]
    with pytest.raises(ServiceError, match="is not an issue"):
        read_issue(project, "#12")
    Project.objects.update(forge_token_sealed="")
    with pytest.raises(ServiceError, match="no code host and token"):
        read_issue(Project.objects.get(), "#12")


def test_of_very_many_comments_the_last_ones_are_kept():
    said = [Said("bob", f"{number} " + "x" * 1_000) for number in range(200)]
    text = document_of(IssueText("#1", "Long", "It is.", said))
    assert len(text) <= CHARACTERS and "199 x" in text and "\n0 x" not in text
    assert text.startswith("# #1: Long\n\nIt is.\n\n(") and "earlier comments are left out.)" in text
