"""The diff of an attempt on its pages: small files at once, a large one when it is asked for, one side or two."""

import pytest

from batches.core.text.diff import read_diff
from batches.models import Attempt, Result
from batches.pages.batches.changes import tree_of
from batches.pages.batches.diffs import shown_diff
from tests.batches import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def attempt(client) -> Attempt:
    client.force_login(builders.make_user())
    builders.finished_batch()
    large = "".join(f"+line {number} <b>\n" for number in range(1_000))
    small = "diff --git a/a.py b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    found = Attempt.objects.get(task__name="2a")
    Result.objects.filter(attempt=found).update(diff=f"{small}diff --git a/big.txt b/big.txt\n@@ -0,0 +1,1000 @@\n{large}")
    return found


def test_a_large_file_is_folded_and_comes_when_it_is_asked_for(client, attempt):
    for page in ("/batches/1/changes/?phase=2a", f"/batches/1/phases/2a/?tab=diff&attempt={attempt.pk}"):
        text = client.get(page).text
        assert "<strong>2 files</strong>" in text and "1,001 lines, folded" in text
        assert "line 999" not in text
    address = f"/batches/1/attempts/{attempt.pk}/diff/?file=2"
    assert f'hx-get="{address}&amp;view=unified"' in text
    lines = client.get(address, headers={"HX-Request": "true"}).text
    assert "line 999 &lt;b&gt;" in lines and "<h1>" not in lines
    opened = '<details class="diff" id="diff-2" data-file="big.txt" data-attempt="" open >'
    assert opened in " ".join(client.get(address).text.split()), "the link does without JavaScript"
    assert client.get(address.replace("=2", "=9"), headers={"HX-Request": "true"}).status_code == 404


def test_the_choice_of_sides_is_in_the_address_and_kept_for_the_next_page(client, attempt):
    page = f"/batches/1/attempts/{attempt.pk}/diff/"
    assert "code-unified" in client.get(page).text
    assert "code-split" in client.get(f"{page}?view=split").text
    assert "code-split" in client.get("/batches/1/changes/?phase=2a").text
    assert "code-split" in client.get("/batches/1/phases/2a/?tab=diff").text
    assert "code-unified" in client.get(f"{page}?view=unified").text


def test_a_batch_has_all_files_of_its_phases_in_one_diff_with_a_tree(client, attempt):
    other = Attempt.objects.get(task__name="1")
    Result.objects.filter(attempt=other).update(diff="diff --git a/src/app/b.py b/src/app/b.py\n@@ -0,0 +1 @@\n+y = 1\n")
    text = client.get("/batches/1/changes/").text
    assert f'href="#diff-{attempt.pk}-1"' in text and f'id="diff-{other.pk}-1"' in text
    assert "app/</summary>" in text and client.get("/batches/1/changes/").context["viewed"] == 0
    assert f"diff-{other.pk}-1" not in client.get("/batches/1/changes/?phase=2a").text


def test_folders_that_hold_one_folder_alone_are_one_line_of_the_tree():
    names = ("a/b/c/one.py", "a/b/c/two.py", "a/b/d/e/three.py", "top.py")
    text = "".join(f"diff --git a/{name} b/{name}\n@@ -0,0 +1 @@\n+x\n" for name in names)
    tree = tree_of(shown_diff(text, "unified", "").files)
    (ab,) = tree.folders
    assert (ab.name, [inner.name for inner in ab.folders], [name for name, _ in tree.files]) == ("a/b", ["c", "d/e"], ["top.py"])
    assert [name for name, _ in ab.folders[0].files] == ["one.py", "two.py"]


def test_a_file_is_viewed_by_a_person_until_its_change_is_another(client, attempt):
    address, digest = f"/batches/1/attempts/{attempt.pk}/viewed/", read_diff(attempt.result.diff).files[0].digest

    def viewed() -> int:
        return client.get("/batches/1/changes/?phase=2a").context["viewed"]

    assert client.post(address, {"mark": digest}).status_code == 302 and viewed() == 1
    assert client.post(address, {"mark": digest}, headers={"HX-Request": "true"}).status_code == 204 and viewed() == 1
    client.force_login(builders.make_user("eve", admin=False))
    assert viewed() == 0, "another person has not"
    client.post(address, {"mark": digest})
    assert viewed() == 1, "nor does it take a right"
    client.post(address, {"mark": f"{digest} not"})
    assert viewed() == 0
    client.post(address, {"mark": digest})
    Result.objects.filter(attempt=attempt).update(diff=attempt.result.diff.replace("x = 2", "x = 3"))
    assert viewed() == 0
    assert "has changed since" in client.post(address, {"mark": digest}, follow=True).text
