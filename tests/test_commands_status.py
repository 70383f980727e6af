"""``memprofile status``: one answer from the settings, the database and the files of processes."""

import json

import pytest
from django.db import OperationalError, connection

from django_memsize import engine
from django_memsize.reports import database
from django_memsize.workers import state_file
from tests.commands import create_report
from tests.writing import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """Leave the file of a process that ended."""
    monkeypatch.setattr(state_file.tempfile, "gettempdir", lambda: str(tmp_path))
    file = state_file.create(state_file.folder_of(database.identity()))
    file.set_number("made", 5)
    file.set_number("stored", 2)
    file.set_number("refused", 7)
    file.set_number("first", 3)
    file.set_number("refused by the database", 1)
    file.set_text("error", "DataError: bad")
    file.close()


def test_the_status_is_about_settings_storage_and_processes(memprofile, ended):
    create_report()

    text = memprofile("status")

    if engine.Window is not None:
        assert text.startswith("1% of the requests are measured, the default without DEBUG, by ")
    assert "1 report is stored in the database 'default'" in text
    assert "dropped 3 reports: refused by the database (1), lost at exit (2)." in text
    assert "ago: DataError: bad" in text


def test_the_status_as_json(memprofile, ended):
    create_report()

    document = json.loads(memprofile("status", "--format", "json"))

    assert document["sampling"]["sample_rate"] == 0.01
    assert document["sampling"]["sample_first"] == 5
    assert document["storage"]["reports"] == 1
    (worker,) = document["workers"]
    assert (worker["made"], worker["stored"], worker["lost"]) == (5, 2, 2)
    assert worker["dropped"] == {"refused by the database": 1}
    assert worker["taken_over"] == 0
    assert (worker["refused_by_budget"], worker["metered"]) == (7, {"first": 3})
    assert worker["is_alive"] is False


def test_a_database_that_fails_is_a_part_of_the_answer(memprofile, monkeypatch):
    def fails(alias):
        raise OperationalError("gone")

    monkeypatch.setattr(database, "has_table", fails)

    assert "The database 'default' does not answer: OperationalError: gone" in memprofile("status")


def test_the_number_of_reports_is_not_counted_to_the_end(memprofile, monkeypatch):
    monkeypatch.setattr("django_memsize.commands.status._MOST_COUNTED", 2)
    for _ in range(4):
        create_report()

    assert "More than 2 reports are stored" in memprofile("status")


@pytest.mark.django_db(transaction=True)
def test_the_size_of_the_table_is_told_where_it_is_known():
    assert (database.size("default") is None) is (connection.vendor == "sqlite")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite does not tell the size")
def test_the_size_is_that_of_the_rollups_as_well():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s::regclass)", ["django_memsize_report"])
        (reports,) = cursor.fetchone()

    assert database.size("default") > reports


@pytest.mark.django_db(transaction=True)
def test_a_process_that_runs_and_one_that_was_killed_are_seen_by_the_command(tmp_path):
    project = Project(tmp_path)
    program = "submit('a'); assert writer.flush(20); print('ready', flush=True); time.sleep(60)"
    with project.begin(program) as running, project.begin(program) as killed:
        for process in (running, killed):
            assert process.stdout.readline() == "ready\n"
        killed.kill()
        killed.wait(60)

        workers = json.loads(project.manage("memprofile", "status", "--format", "json"))["workers"]
        running.kill()

    states = {worker["pid"]: (worker["is_alive"], worker["stored"]) for worker in workers}
    assert states == {running.pid: (True, 1), killed.pid: (False, 1)}
    assert {worker["lost"] for worker in workers} == {0}
