import pytest
from django.apps import apps

from django_memsize.reports import sql_names


def test_the_names_are_those_of_the_tables_and_columns_of_all_models():
    names = sql_names.of_models()

    assert {"app_book", "author_id", "app_book_readers", "reader_id"} <= names
    assert "secret" not in names


def test_the_names_are_read_again_once_there_is_another_model(monkeypatch):
    class Meta:
        db_table = '"Schema"."Late"'
        concrete_fields = ()

    late = type("Late", (), {"_meta": Meta})
    known = apps.get_models(include_auto_created=True, include_swapped=True)
    assert "late" not in sql_names.of_models()
    monkeypatch.setattr(apps, "get_models", lambda **_: [*known, late])

    assert {"schema", "late"} <= sql_names.of_models()


@pytest.mark.parametrize(
    "name", ["T3", "U0", "col1", "__col12", "__count", "subquery", "qual0", "n", "a1",
             "_prefetch_related_val_book_id"],
)  # fmt: skip
def test_an_alias_of_django_and_a_short_one_are_stored(name):
    assert sql_names.is_harmless(name)
    assert not sql_names.is_alias(name)


@pytest.mark.parametrize("name", ["secret", "T1234", "_prefetch_related_val_secret", "col1secret"])
def test_any_other_alias_is_not(name):
    assert not sql_names.is_harmless(name)
    assert sql_names.is_alias(name)


def test_a_word_of_sql_is_no_alias():
    assert not sql_names.is_alias("ORDER")
    assert sql_names.may_precede_alias("as")
    assert not sql_names.may_precede_alias("select")
    assert sql_names.may_precede_alias("author")
