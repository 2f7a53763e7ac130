"""A person signs a gate off and withdraws it, in a real browser and from the keyboard's own form."""

import pytest

from batches.models import Gate, SignOff
from tests.batches import builders

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_gate_is_signed_off_on_its_phases_page_and_withdrawn_in_the_ledger(open_tab):
    batch = builders.finished_batch()
    gate = Gate.objects.get(phase__batch=batch, phase__key="1", kind="unverified")
    page = open_tab().open(f"/batches/{batch.number}/phases/1/?tab=gates")
    page.locator(f"#gate-{gate.position} > summary").click()
    page.get_by_text("Sign off…").click()
    page.get_by_label("What you looked at").fill("Tried it on the staging server.")
    page.get_by_role("button", name="Sign off in my name").click()
    page.get_by_text("signed off by ada").first.wait_for()
    assert page.url.endswith(f"/batches/{batch.number}/phases/1/?tab=gates")
    page.goto(page.url.replace("/phases/1/?tab=gates", "/gates/?state=ticked"))
    page.get_by_text("Withdraw the sign-off…").click()
    page.get_by_label("Why it no longer holds").fill("It was the wrong build.")
    page.get_by_role("button", name="Withdraw in my name").click()
    page.get_by_text("It was the wrong build.").wait_for()
    sign_off = SignOff.objects.get()
    assert (sign_off.name, sign_off.withdrawn_name) == ("ada", "ada")
