"""``memprofile token``: what it prints has one request metered."""

import json
import time

import pytest
from django.core.management import CommandError
from django.test import Client

from django_memsize.measuring import tokens
from django_memsize.models import Report
from django_memsize.reports import recordings
from tests.visits import EVERY_REQUEST

pytestmark = pytest.mark.usefixtures("as_under_a_test_client")


@pytest.mark.django_db
@pytest.mark.parametrize("place", ["header", "cookie"])
def test_a_request_with_the_token_is_measured_and_the_token_is_stored_nowhere(
    memprofile, settings, client, place
):
    document = json.loads(memprofile("token", "--format", "json"))
    settings.MEMSIZE = EVERY_REQUEST | {"SAMPLE_RATE": 0}
    if place == "header":
        client.get("/nothing/", headers={document["header"]: document["token"]})
    else:
        client.cookies[document["cookie"]] = document["token"]
        client.get("/nothing/")
    Client().get("/nothing/")
    recordings.analyse_now()

    (columns,) = Report.objects.values()
    assert columns["document"]["reason"] == "token"
    assert document["token"] not in repr(columns)
    assert document["token"].partition(".")[2] not in repr(columns)


def test_the_text_says_how_to_send_it_and_for_how_long(memprofile, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    text = memprofile("token", "--max-age", "90")

    header, token = text.splitlines()[0].split(": ")
    assert (header, tokens.is_valid(token)) == ("X-Memsize-Token", True)
    assert token.startswith("1000090.")
    assert "Valid for 90 seconds" in text
    assert f'document.cookie = "memsize_token={token}; path=/; max-age=90; secure"' in text


@pytest.mark.parametrize("age", ["0", "soon", "86401"])
def test_an_age_that_no_token_has_is_an_error(memprofile, age):
    with pytest.raises(CommandError, match=age):
        memprofile("token", "--max-age", age)


def test_without_a_key_there_is_no_token(memprofile, settings):
    settings.SECRET_KEY = ""
    with pytest.raises(CommandError, match="SECRET_KEY"):
        memprofile("token")
