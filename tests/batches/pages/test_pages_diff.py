"""The diff of an attempt on its pages: small files at once, a large one when it is asked for, one side or two."""

import pytest

from batches.models import Attempt, Result
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
    assert '<details class="diff" id="diff-2" open>' in client.get(address).text, "the link does without JavaScript"
    assert client.get(address.replace("=2", "=9"), headers={"HX-Request": "true"}).status_code == 404


def test_the_choice_of_sides_is_in_the_address_and_kept_for_the_next_page(client, attempt):
    page = f"/batches/1/attempts/{attempt.pk}/diff/"
    assert "code-unified" in client.get(page).text
    assert "code-split" in client.get(f"{page}?view=split").text
    assert "code-split" in client.get("/batches/1/changes/?phase=2a").text
    assert "code-split" in client.get("/batches/1/phases/2a/?tab=diff").text
    assert "code-unified" in client.get(f"{page}?view=unified").text
