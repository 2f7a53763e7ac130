"""Copies, restored databases, second hosts and strangers' repositories are told before anything runs."""

import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.engine.data_directory import WrongIdentity, adopt, check_identity, is_engine
from batches.models import AuditEvent, Host, Installation
from batches.repositories.ownership import OWNER, Owner, claim, this_installation
from batches.repositories.repository import repository_of

ACTOR = Actor.command("adopt")


@pytest.fixture
def places(tmp_path, settings, db):
    """Two data directories; the first one is in force and has been started."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    settings.CE_DATA_DIR, settings.CE_HOST = one, "first"
    check_identity(engine=True)
    return one, two


def refused(engine: bool = True) -> str:
    with pytest.raises(WrongIdentity) as caught:
        check_identity(engine=engine)
    return str(caught.value)


def test_the_first_start_settles_it_and_the_next_ones_find_it(places):
    row = Installation.objects.get()
    assert row.identity and row.directory and row.host == "first" and row.place == str(places[0]) and len(row.key_fingerprint) == 16
    check_identity(engine=True)
    check_identity(engine=False)
    assert Installation.objects.get().directory == row.directory and is_engine()


def test_a_directory_that_was_moved_goes_on(places, settings):
    places[0].rename(places[1])
    settings.CE_DATA_DIR = places[1]
    check_identity(engine=True)
    assert Installation.objects.get().place == str(places[1])


@pytest.mark.parametrize("original", ["is there", "was moved away and this one lies in its place"])
def test_a_copy_is_refused_with_the_way_out_and_can_be_adopted(places, settings, original, tmp_path):
    shutil.copytree(*places)
    if original == "is there":
        settings.CE_DATA_DIR = places[1]
    else:
        places[0].rename(tmp_path / "three")  # removed, its file could leave its inode to the copy
        shutil.copytree(places[1], places[0])
    said = refused()
    assert "is a copy of the data directory" in said and str(places[0]) in said and "manage.py adopt" in said
    before = Installation.objects.get().directory
    assert any("drives the runs" in line for line in adopt(actor=ACTOR))
    check_identity(engine=True)
    assert Installation.objects.get().directory != before
    assert "Adopted the data directory" in AuditEvent.objects.get(kind="site").what
    if original == "is there":
        settings.CE_DATA_DIR = places[0]
        assert not is_engine(), "the original stops"
        assert "driven by another data directory" in refused()


def test_a_second_host_takes_nothing_but_may_show_pages(places, settings):
    places[1].mkdir()
    settings.CE_DATA_DIR, settings.CE_HOST = places[1], "second"
    said = refused()
    assert f"{places[0]} on first" in said and "CE_WORKER=1" in said and "up --no-cluster" in said and "same name" not in said
    check_identity(engine=False)
    settings.CE_HOST = "first"
    assert "This host has the same name (CE_HOST)" in refused()


def test_a_worker_host_has_a_name_a_directory_and_a_row_of_its_own(places, settings, monkeypatch):
    main, two = places
    two.mkdir()
    row, now = Installation.objects.get(), timezone.now()
    settings.CE_WORKER, settings.CE_HOST, settings.CE_DATA_DIR = True, "worker", two
    if connection.vendor == "sqlite":
        assert "this database is SQLite" in refused()
        monkeypatch.setattr("batches.engine.data_directory.connection", SimpleNamespace(vendor="postgresql"))
    settings.CE_HOST = "first"
    assert f"The main host is called first, too ({main})" in refused()
    settings.CE_HOST, settings.CE_DATA_DIR = "worker", main
    assert "is the main host's data directory" in refused()
    settings.CE_DATA_DIR = two
    check_identity(engine=True)
    check_identity(engine=True)
    mine = Host.objects.get(name="worker")
    assert mine.directory and mine.place == str(two) and is_engine() and Installation.objects.get().directory == row.directory
    settings.CE_HOST = "renamed"
    assert "belongs to the worker host worker: set CE_HOST=worker" in refused()
    three = two.with_name("three")
    three.mkdir()
    settings.CE_HOST, settings.CE_DATA_DIR = "worker", three
    assert f"There is a host called worker already ({two})" in refused()
    Host.objects.update(lease_until=now + timedelta(seconds=20), last_tick_at=now)
    with pytest.raises(WrongIdentity, match="A cluster on worker was alive"):
        adopt(actor=ACTOR)
    Host.objects.update(lease_until=None)
    adopt(actor=ACTOR)
    check_identity(engine=True)
    settings.CE_DATA_DIR = two
    assert not is_engine(), "the first one stops"
    settings.CE_WORKER, settings.CE_HOST, settings.CE_DATA_DIR = False, "first", main
    check_identity(engine=True)
    Installation.objects.update(directory="")
    settings.CE_WORKER, settings.CE_HOST = True, "worker"
    assert "no main host yet" in refused()


def test_another_secret_key_is_told_to_web_server_and_cluster(places, settings):
    settings.SECRET_KEY = "another key " * 5
    for engine in (True, False):
        said = refused(engine)
        assert "secret key" in said and f"{places[0]} on first" in said and "--new-key" in said
    with pytest.raises(WrongIdentity):
        adopt(actor=ACTOR)
    adopt(actor=ACTOR, new_key=True)
    check_identity(engine=True)


def test_the_database_of_another_installation_is_refused(places):
    Installation.objects.update(identity="0" * 32)
    assert "belongs to another installation" in refused()


def test_a_database_older_than_its_directory_was_restored(places):
    now = timezone.now()
    Host.objects.create(name="first", last_tick_at=now - timedelta(minutes=10), lease_until=now - timedelta(minutes=9))
    (places[0] / "ticker.alive").touch()
    said = refused()
    assert "0:10:0" in said and "restored from a backup" in said and "manage.py adopt" in said
    adopt(actor=ACTOR)
    check_identity(engine=True)


def test_nothing_is_adopted_while_a_cluster_is_alive(places):
    now = timezone.now()
    Host.objects.create(name="first", last_tick_at=now - timedelta(seconds=3), lease_until=now + timedelta(seconds=27))
    with pytest.raises(WrongIdentity, match=r"A cluster on first was alive 3 s ago\. Stop it first; if it is gone, try again in 28 s"):
        adopt(actor=ACTOR)


def test_an_identity_file_that_cannot_be_read_is_a_sentence(places):
    (places[0] / "identity.json").write_text("{")
    assert "cannot be read" in refused()


def test_a_repository_has_one_owner_and_a_stranger_is_told(world, places, monkeypatch):
    repository = repository_of(world.project)
    before = claim(repository, this_installation())
    assert claim(repository, this_installation()) == before == repository.reference(OWNER)
    world.git("pack-refs", "--all")
    assert repository.reference(OWNER) == before, "also where git has packed it"
    Installation.objects.update(directory="f" * 32, host="second", place="/somewhere/else")
    with pytest.raises(ServiceError, match=rf"belongs to another CE Web installation \({places[0]} on first\).*adopt --repositories"):
        claim(repository, this_installation())
    claim(repository, this_installation(), by_force=True)
    assert claim(repository, this_installation()) != before


def test_a_run_waits_while_its_repository_belongs_to_another_installation(world, places):
    from tests.batches.world import phase, plan, writes

    batch = world.generated(plan(phase("1", steps=writes("1"))))
    world.ticker.owner = this_installation()
    stranger = Owner("a" * 32, "b" * 32, "there", "/there")
    claim(repository_of(world.project), stranger)
    run = world.execute(batch)
    world.until(lambda: bool(type(run).objects.get(pk=run.pk).machine_fault), "the run waits")
    run.refresh_from_db()
    assert "belongs to another CE Web installation (/there on there)" in run.machine_fault
    assert not world.attempts(run, "1")
    assert is_engine()
    claim(repository_of(world.project), this_installation(), by_force=True)
    type(run).objects.filter(pk=run.pk).update(machine_fault_until=timezone.now())
    assert world.finish(run).state == "succeeded", run.report
    assert Path(world.repository, ".git").is_dir()
