"""Passkeys in a real Chromium, with its own virtual authenticator: made, used to sign in, refused when it is another's."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import CDPSession, Page, expect

from batches.models import SecondStep

pytestmark = pytest.mark.browser


@contextmanager
def authenticator(page: Page) -> Iterator[tuple[CDPSession, str]]:
    """(the connection, the authenticator's id): it says yes to whatever it is asked."""
    tools = page.context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    yield tools, tools.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]
    tools.detach()


def sign_in(page: Page, address: str) -> None:
    page.context.clear_cookies()
    page.goto(f"{address}/sign-in/?next=/plans/")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()


def test_a_passkey_is_made_and_signs_in_and_a_copy_or_another_one_does_not(open_tab, settings):
    tab = open_tab()
    tab.expected.append("400")
    page = tab.open("/account/second-steps/")
    with authenticator(page) as (tools, own):
        page.get_by_role("button", name="Add a passkey").click()
        expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
        passkey = SecondStep.objects.get(kind="passkey")
        page.get_by_role("link", name="Done").click()
        page.get_by_role("button", name="Add a passkey").click()
        expect(page.get_by_text("This passkey is set up here already.")).to_be_visible()

        sign_in(page, tab.address)
        page.get_by_role("button", name="Use a passkey").click()
        page.wait_for_url(re.compile("/plans/$"))
        passkey.refresh_from_db()
        assert passkey.used_at is not None and passkey.counter > 0

        made = tools.send("WebAuthn.getCredentials", {"authenticatorId": own})["credentials"][0]
        SecondStep.objects.filter(pk=passkey.pk).update(counter=made["signCount"] + 10)
        sign_in(page, tab.address)
        page.get_by_role("button", name="Use a passkey").click()
        expect(page.get_by_role("alert")).to_contain_text("not accepted")

        tools.send("WebAuthn.clearCredentials", {"authenticatorId": own})
        sign_in(page, tab.address)
        page.get_by_role("button", name="Use a passkey").click()
        expect(page.get_by_text("Nothing was chosen.")).to_be_visible()


def test_a_passkey_of_another_site_or_another_question_is_refused(open_tab):
    tab = open_tab()
    tab.expected.append("400")
    page = tab.open("/account/second-steps/")
    with authenticator(page):
        page.get_by_role("button", name="Add a passkey").click()
        expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
        sign_in(page, tab.address)
        old = page.locator("#passkey-options").text_content()
        page.reload()
        page.locator("#passkey-options").evaluate("(node, old) => { node.textContent = old; }", old)
        page.get_by_role("button", name="Use a passkey").click()
        expect(page.get_by_role("alert")).to_contain_text("not accepted")
        page.get_by_role("button", name="Use a passkey").click()
        page.wait_for_url(re.compile("/plans/$"))
