"""One-time sign-in links."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.utils import timezone

from batches.accounts.sign_in_links import check_link, make_link, use_link

pytestmark = pytest.mark.django_db
BASE = "http://127.0.0.1:8000/"


@pytest.fixture
def user():
    made = get_user_model().objects.create_user("ada", password="correct horse battery")
    made.groups.add(Group.objects.get(name="viewer"))  # without a role nobody sees a page
    return made


def parts(link: str) -> tuple[str, str]:
    """(uidb64, token) of a link."""
    assert link.startswith(BASE + "sign-in/")
    uidb64, token = urlsplit(link).path.strip("/").split("/")[1:]
    return uidb64, token


def test_link_names_its_user_and_checking_it_changes_nothing(user):
    link = parts(make_link(user, BASE))
    assert check_link(*link) == user
    assert check_link(*link) == user


def test_link_dies_with_its_first_use(user):
    link = parts(make_link(user, BASE))
    assert use_link(*link, now=timezone.now()) == user
    assert check_link(*link) is None
    assert use_link(*link, now=timezone.now()) is None


def test_signing_in_any_other_way_kills_the_link_too(user, client):
    link = parts(make_link(user, BASE))
    client.force_login(user)
    assert check_link(*link) is None


def test_two_sign_ins_within_a_second_need_two_links(user):
    now = timezone.now().replace(microsecond=1)
    user.last_login = now
    user.save()
    link = parts(make_link(user, BASE))
    assert use_link(*link, now=now.replace(microsecond=2)) == user
    assert check_link(*link) is None


def test_link_dies_with_a_change_of_the_password(user):
    link = parts(make_link(user, BASE))
    user.set_password("another long password")
    user.save()
    assert check_link(*link) is None


def test_link_of_somebody_switched_off_does_nothing(user):
    link = parts(make_link(user, BASE))
    user.is_active = False
    user.save()
    assert check_link(*link) is None


def test_link_dies_of_age(user, settings):
    link = parts(make_link(user, BASE))
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert check_link(*link) is None


def test_link_of_one_user_is_none_of_another(user):
    other = get_user_model().objects.create_user("eve", password="correct horse battery")
    assert check_link(parts(make_link(other, BASE))[0], parts(make_link(user, BASE))[1]) is None


def test_page_of_the_link_shows_a_button_and_only_pressing_it_signs_in(user, client):
    path = urlsplit(make_link(user, BASE)).path
    for _ in range(2):  # the preview of a chat program, then the person
        shown = client.get(path)
        assert shown.status_code == 200 and shown["Referrer-Policy"] == "same-origin"
        assert "_auth_user_id" not in client.session
    pressed = client.post(path)
    assert pressed.status_code == 302 and client.session["_auth_user_id"] == str(user.pk)
    assert client.get("/batches/").status_code == 200


def test_page_of_a_used_link_says_so(user, client):
    path = urlsplit(make_link(user, BASE)).path
    client.post(path)
    for answer in (client.get(path), client.post(path)):
        assert answer.status_code == 410 and "used" in answer.content.decode()


@pytest.mark.parametrize("uidb64", ["", "MQ", "x", "////", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "w7w", "gA", "LTE", "\x00", "a" * 5000])
def test_rubbish_is_nobody(user, uidb64):
    assert check_link(uidb64, "abc-def") is None


def test_command_prints_a_link_that_works(user, capsys):
    call_command("sign_in_link", "ada", port=8123)
    link = capsys.readouterr().out.strip()
    assert link.startswith("http://127.0.0.1:8123/sign-in/")
    assert check_link(*urlsplit(link).path.strip("/").split("/")[1:]) == user


def test_command_names_the_users_there_are_when_it_knows_no_such_one(user):
    with pytest.raises(CommandError, match=r"no user 'bob'.*ada"):
        call_command("sign_in_link", "bob")


def test_link_lives_for_a_day(settings):
    assert timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT) == timedelta(days=1)
