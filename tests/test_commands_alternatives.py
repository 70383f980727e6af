import pytest
from django.core.management import CommandError

from django_memsize import engine

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def test_ways_of_loading_need_the_meter_and_without_one_it_names_the_fix(memprofile, monkeypatch):
    monkeypatch.setattr(engine, "Window", None)

    with pytest.raises(CommandError, match=r"pip install --force-reinstall") as caught:
        memprofile("alternatives", "Author.objects.all()")

    assert "\n" not in str(caught.value)
