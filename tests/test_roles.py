"""The four groups: each may do what the one before may, and running code begins with the executor."""

from itertools import pairwise

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command

from batches.accounts.roles import ADMIN, AUTHOR, EXECUTOR, VIEWER

pytestmark = pytest.mark.django_db
ROLES = (VIEWER, AUTHOR, EXECUTOR, ADMIN)


def permissions(role: str) -> set[str]:
    user = get_user_model().objects.create_user(f"a-{role}")
    user.groups.add(Group.objects.get(name=role))
    return user.get_all_permissions()


def test_migrate_makes_the_four_groups():
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)


def test_each_role_may_do_all_that_the_one_before_may_and_more():
    found = [permissions(role) for role in ROLES]
    assert all(lower < higher for lower, higher in pairwise(found))


@pytest.mark.parametrize(("role", "may"), [(VIEWER, False), (AUTHOR, False), (EXECUTOR, True), (ADMIN, True)])
def test_only_executors_and_admins_may_run_code(role, may):
    assert ("batches.execute_batch" in permissions(role)) is may


@pytest.mark.parametrize(("role", "may"), [(VIEWER, False), (AUTHOR, False), (EXECUTOR, False), (ADMIN, True)])
def test_only_admins_register_repositories_and_manage_people(role, may):
    assert ({"batches.add_project", "auth.add_user"} <= permissions(role)) is may


def test_viewer_sees_everything_and_changes_nothing():
    found = permissions(VIEWER)
    assert {"batches.view_batch", "batches.view_plan", "batches.view_attempt"} <= found
    assert all(name.startswith("batches.view_") for name in found)


def test_nobody_gets_a_hand_on_the_task_queue():
    assert not any(name.startswith("django_q.") for role in ROLES for name in permissions(role))


def test_migrate_again_fixes_a_group_and_leaves_members_and_other_groups_alone():
    user = get_user_model().objects.create_user("ada")
    viewers, others = Group.objects.get(name=VIEWER), Group.objects.create(name="others")
    user.groups.add(viewers, others)
    viewers.permissions.clear()
    call_command("migrate", verbosity=0)
    assert viewers.permissions.exists()
    assert set(user.groups.all()) == {viewers, others}
