import pytest

from django_memsize.reports.sql import without_literals
from django_memsize.values import SQL_STORED


@pytest.mark.parametrize(
    ("sql", "stored"),
    [
        ("SELECT a FROM t WHERE b = %s", "SELECT a FROM t WHERE b = %s"),
        ("SELECT 'secret', 'secret'", "SELECT ?, ?"),
        ("SELECT 'it''s secret', b", "SELECT ?, b"),
        (r"SELECT 'a\'secret', b", "SELECT ?, b"),
        ("SELECT 'secret\nof two lines', b", "SELECT ?, b"),
        ("SELECT 'secret without an end", "SELECT ?"),
        ("", ""),
    ],
)
def test_text_within_quotes_is_not_stored(sql, stored):
    assert without_literals(sql) == stored


def test_a_literal_that_begins_within_the_stored_characters_is_not_stored():
    sql = "x" * (SQL_STORED - 3) + " 'secret" + "s" * 3 * SQL_STORED + "'"

    assert without_literals(sql) == "x" * (SQL_STORED - 3) + " ?"


def test_a_statement_of_any_length_is_cut_before_it_is_searched():
    assert len(without_literals("x" * 10 * SQL_STORED)) == 2 * SQL_STORED
