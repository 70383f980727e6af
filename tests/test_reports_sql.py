from unittest import mock

import pytest
from django.db import connection, connections
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_memsize.reports import sql as masking
from django_memsize.reports.sql import NOT_STORED, vendor_of, without_literals
from django_memsize.values import SQL_STORED

VENDORS = ["sqlite", "postgresql", "mysql", "oracle", "another"]
REFUSED = NOT_STORED.split("{")[0]


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("sql", "stored"),
    [
        ("SELECT name FROM app_author WHERE id = %s", "SELECT name FROM app_author WHERE id = %s"),
        ("SELECT 'secret', 'secret'", "SELECT ?, ?"),
        ("SELECT 'it''s secret', b", "SELECT ?, b"),
        ("SELECT 'secret\nof two lines', b", "SELECT ?, b"),
        ("SELECT N'secret', x'5EC4E7', B'0101'", "SELECT ?, ?, ?"),
        ("SELECT 12, 1.5, .5, 1e-5, 0xDEAD, 1_000 LIMIT 21", "SELECT ?, ?, ?, ?, ?, ? LIMIT ?"),
        ("SELECT 3-1, 4/2, a.b", "SELECT ?-?, ?/?, a.b"),
        ("SELECT 1 -- it's secret\n, 'secret'", "SELECT ?  \n, ?"),
        ("SELECT 1 /* it's secret */, 'secret'", "SELECT ?  , ?"),
        (
            "SELECT * FROM t WHERE a = %(secret)s AND b % 2",
            "SELECT * FROM t WHERE a = %s AND b % ?",
        ),
        ("(Composed)", "(Composed)"),
        ("", ""),
    ],
)
def test_what_every_database_reads_alike(vendor, sql, stored):
    assert without_literals(sql, vendor) == stored


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql", "oracle", "another"])
@pytest.mark.parametrize(
    ("sql", "stored"),
    [
        (
            'SELECT "app_author"."name", T3."id" FROM "app_author" T3',
            'SELECT "app_author"."name", T3."id" FROM "app_author" T3',
        ),
        ('SELECT COUNT(*) AS "secret" ORDER BY "secret"', 'SELECT COUNT(*) AS "?" ORDER BY "?"'),
        ("SELECT 1 AS secret ORDER BY secret", "SELECT ? AS ? ORDER BY ?"),
        ('FROM "app_author" secret ON (secret."id")', 'FROM "app_author" ? ON (?."id")'),
        ("SELECT name secret, (a) secret2", "SELECT name ?, (a) ?"),
        ("SELECT CAST(a AS integer) AS b", "SELECT CAST(a AS integer) AS b"),
        ('SELECT "it""s secret"', 'SELECT "?"'),
    ],
)
def test_names_of_models_stay_and_aliases_do_not(vendor, sql, stored):
    assert without_literals(sql, vendor) == stored


@pytest.mark.parametrize(
    ("vendor", "sql", "stored"),
    [
        ("sqlite", r"SELECT 'C:\', 'secret'", "SELECT ?, ?"),
        ("oracle", r"SELECT 'C:\', 'secret'", "SELECT ?, ?"),
        ("sqlite", "SELECT `secret`, [it's secret], :secret, @a", "SELECT `?`, [?], ?, ?"),
        ("sqlite", 'SELECT "id" FROM "app_author" WHERE "id" = "secret"',
         'SELECT "id" FROM "app_author" WHERE "id" = "?"'),
        ("postgresql", r"SELECT E'a\'secret', e'it''s'", "SELECT ?, ?"),
        ("postgresql", "SELECT $$it's$$, $a$se$$cret$a$, $1", "SELECT ?, ?, ?"),
        ("postgresql", "SELECT a$b$c, 'secret'", "SELECT a$b$c, ?"),
        ("postgresql", "SELECT a[1]::text, d #> '{secret}'", "SELECT a[?]::text, d #> ?"),
        ("postgresql", "SELECT U&'secret' UESCAPE '!'", "SELECT U&? UESCAPE ?"),
        ("mysql", "SELECT `app_author`.`name`, `secret`", "SELECT `app_author`.`name`, `?`"),
        ("mysql", 'SELECT "it\'s secret", _utf8"a"', "SELECT ?, _utf8?"),
        ("mysql", "SELECT 1 # it's secret\n, 'secret'", "SELECT ?  \n, ?"),
        ("mysql", "SELECT 1--'secret', 2+-- it's secret\n3", "SELECT ?--?, ?+ \n?"),
        ("mysql", "SELECT {d '2020-01-01'}, @a := 1", "SELECT {d ?}, @a := ?"),
        ("oracle", "SELECT q'[it's secret]', nq'!it's!', Q'{a}'", "SELECT ?, ?, ?"),
        ("oracle", "SELECT v$session, a#b, :arg0", "SELECT v$session, a#b, :arg0"),
    ],
)  # fmt: skip
def test_each_database_has_literals_of_its_own(vendor, sql, stored):
    assert without_literals(sql, vendor) == stored


@pytest.mark.parametrize(
    ("vendor", "sql"),
    [
        ("mysql", r"SELECT 'a\'secret'"),
        ("mysql", r"SELECT 'C:\', 'secret'"),
        ("mysql", r'SELECT "a\"secret"'),
        ("postgresql", r"SELECT 'C:\', 'secret'"),
        ("postgresql", "SELECT E'a'\n'b\\'secret'"),
        ("postgresql", r"SELECT E'secret\'"),
        ("postgresql", "SELECT $a$secret"),
        ("postgresql", "SELECT /* a /* b */ 'secret */ '"),
        ("postgresql", "SELECT -- a\r 'secret"),
        ("sqlite", "SELECT 'secret without an end"),
        ("sqlite", "SELECT /* secret"),
        ("sqlite", "SELECT :a(') 'secret')"),
        ("sqlite", "SELECT \\ secret"),
        ("mysql", "SELECT /*!50000 '*/ secret' */"),
        ("mysql", r"SELECT \N, 'secret'"),
        ("oracle", "SELECT q'[it's secret"),
        ("another", "SELECT q'[it's secret]'"),
        ("another", r"SELECT 'a\'secret'"),
        ("another", "SELECT `it's secret`, [it's secret]"),
        ("another", "SELECT 1--'secret"),
        ("another", "SELECT 1 # it's secret"),
        ("another", "SELECT $$it's secret$$"),
    ],
)
def test_a_statement_that_cannot_be_read_for_certain_is_not_stored(vendor, sql):
    stored = without_literals(sql, vendor)

    assert stored.startswith(REFUSED)
    assert "secret" not in stored


@pytest.mark.parametrize("vendor", ["mysql", "postgresql"])
def test_a_backslash_that_escapes_no_quote_is_read_in_either_mode(vendor):
    assert without_literals(r"SELECT 'a\nsecret\\', b", vendor) == "SELECT ?, b"


# Canaries in every form

CANARY = "canary"
ALPHABET = "'\"`\\$-/*#[](){}<>!;:%_ \n\rqE0é" + "x"


def doubled(quote, before="", after=""):
    """Return what writes a text as a literal in which the quote is doubled."""
    return lambda text: f"{before}{quote}{text.replace(quote, 2 * quote)}{after or quote}"


def escaped(quote, before=""):
    """Return what writes a text as a literal in which a backslash escapes."""

    def write(text):
        return before + quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote

    return write


def delimited(before, after, unless=None):
    """Return what writes a text as a literal between delimiters, which the text cannot have."""
    return lambda text: f"{before}{text.replace(unless or after, '')}{after}"


def on_one_line(before):
    return lambda text: f"{before}{text.translate({10: ' ', 13: ' '})}\n"


EVERYWHERE = [
    doubled("'"),
    doubled("'", "N"),
    on_one_line("-- "),
    delimited("/* ", " */", "*/"),
    lambda text: f"0x{text.encode().hex()}",
]
FORMS = {
    "sqlite": [*EVERYWHERE, doubled('"'), doubled("`"), doubled('"', "AS "), delimited("[", "]"),
               on_one_line("--")],
    "postgresql": [*EVERYWHERE, doubled('"'), escaped("'", "E"), delimited("$$", "$$", "$"),
                   delimited("$a$", "$a$", "$"), doubled('"', "U&"), doubled("'", "U&"),
                   on_one_line("--")],
    "mysql": [*EVERYWHERE, doubled("`"), escaped("'"), escaped('"'), doubled('"'),
              doubled("'", "_utf8mb4"), on_one_line("#")],
    "oracle": [*EVERYWHERE, doubled("'", "x"), delimited("q'[", "]'"), delimited("nq'!", "!'"),
               delimited("Q'<", ">'"), delimited('"', '"'), on_one_line("--")],
}  # fmt: skip
FORMS["another"] = [form for forms in FORMS.values() for form in forms]


@st.composite
def statements(draw):
    """Return a vendor and a statement made of literals, each with the canary in it."""
    vendor = draw(st.sampled_from(VENDORS))
    parts = draw(
        st.lists(
            st.tuples(
                st.sampled_from(FORMS[vendor]),
                st.text(ALPHABET, max_size=6),
                st.text(ALPHABET, max_size=6),
                st.sampled_from([", ", " ", " = ", "\n", "(", ")", "||", " AND id IN ("]),
            ),
            min_size=1,
            max_size=5,
        )
    )
    text = "".join(form(before + CANARY + after) + end for form, before, after, end in parts)
    return vendor, f"SELECT {text}"


@settings(max_examples=1000, deadline=None)
@given(statements())
@example(("mysql", "SELECT 2+-- it's\n'canary'"))
def test_no_canary_is_stored_whatever_precedes_it(statement):
    vendor, sql = statement

    assert CANARY not in without_literals(sql, vendor)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VENDORS), st.text(ALPHABET, max_size=40))
def test_any_text_is_read_or_refused(vendor, text):
    stored = without_literals(text, vendor)

    assert stored.startswith(REFUSED) or len(stored) <= len(text) + text.count("/*")


READ_BY_THE_DATABASE = {
    "sqlite": [doubled("'"), doubled('"')],
    "postgresql": [doubled("'"), doubled("'", "N"), escaped("'", "E"), delimited("$a$", "$a$"),
                   doubled("'", "U&", "' UESCAPE '!'")],
    "mysql": [doubled("'", "N"), doubled("'", "_utf8mb4"), escaped("'"), escaped('"'),
              doubled('"'), doubled("'", "1--")],
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("form", READ_BY_THE_DATABASE[connection.vendor])
def test_the_database_reads_such_literals_as_the_lexer_does(form):
    literal = form("it's canary")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {literal}")
        value = cursor.fetchone()[0]

    assert value == "it's canary" or literal.startswith("1--")
    assert CANARY not in without_literals(f"SELECT {literal}", connection.vendor)


# Length


def test_a_literal_that_begins_within_the_stored_characters_is_not_stored():
    sql = "x" * (SQL_STORED - 3) + " 'secret" + "s" * 3 * SQL_STORED + "'"

    assert without_literals(sql, "sqlite") == "x" * (SQL_STORED - 3) + " ?"


def test_a_statement_of_any_length_is_cut_before_it_is_read():
    read = []
    dialect = masking._DIALECTS["sqlite"]
    spy = mock.Mock(may_escape=False)
    spy.tokens.finditer = lambda sql: (read.append(len(sql)), dialect.tokens.finditer(sql))[1]
    with mock.patch.dict(masking._DIALECTS, sqlite=spy):
        assert len(without_literals("x" * 10 * SQL_STORED, "sqlite")) == 2 * SQL_STORED

    assert read == [2 * SQL_STORED]


@pytest.mark.parametrize("opening", ["E'", "$a$", "$", "q'[", '"', "`", "[", "/*", "-- ", "nq'"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_literal_that_is_cut_has_no_end_and_is_not_stored(vendor, opening):
    sql = f"SELECT b, {opening}secret" + "s" * 3 * SQL_STORED

    stored = without_literals(sql, vendor)

    assert "secret" not in stored or opening in ("$", "[")
    assert stored.startswith(("SELECT b", REFUSED))


# The vendor


def test_the_vendor_is_that_of_the_alias():
    assert vendor_of("other") == "sqlite"
    assert vendor_of("default") == connections["default"].vendor


def test_an_alias_that_is_gone_has_no_vendor():
    assert vendor_of("gone") == ""
