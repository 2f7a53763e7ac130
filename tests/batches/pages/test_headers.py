"""Every answer, whatever its address, carries the headers that tell a browser what it may do with it."""

import pytest
from django.test import Client

from tests.batches import builders
from tests.batches.addresses import Objects, every_address

pytestmark = pytest.mark.django_db
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.mark.engine  # no engine, but many requests
@pytest.mark.parametrize("signed_in", [True, False])
def test_every_address_sends_the_security_headers(signed_in):
    objects = Objects(builders.make_project(), builders.make_user("root"))
    paths = {*every_address(objects).values(), "/nowhere/", "/api/nowhere/", "/admin/", "/admin/login/", "/favicon.ico", "/batches/999/"}
    for path in sorted(paths):
        client = Client(raise_request_exception=False)
        if signed_in:
            client.force_login(objects.user)
        for answer in (client.get(path), client.post(path)):
            found = {name: answer.get(name) for name in ALWAYS}
            assert found == ALWAYS, (path, answer.status_code)
            assert "default-src 'none'" in answer["Content-Security-Policy"] and "'unsafe" not in answer["Content-Security-Policy"]
            assert "camera=()" in answer["Permissions-Policy"] and answer.has_header("Cache-Control"), path
            for cookie in (one for one in answer.cookies.values() if one.value):
                assert cookie["samesite"] == "Lax" and (cookie["httponly"] or cookie.key in ("csrftoken", "theme", "diff")), (path, cookie)
            if answer.get("Content-Disposition", "").startswith("attachment"):
                assert not answer["Content-Type"].startswith("text/html"), path
