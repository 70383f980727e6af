import pytest
from django.core.management import CommandError

from django_memsize.commands import program
from django_memsize.models import Report

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def test_code_that_is_not_python_is_an_error_of_one_line(memprofile):
    with pytest.raises(CommandError, match=r"^--code is not Python: .*") as caught:
        memprofile("run", "--code", "1 +")

    assert "\n" not in str(caught.value)


def test_code_that_raises_is_shown_with_its_own_lines_only(memprofile):
    with pytest.raises(CommandError) as caught:
        memprofile("run", "--code", "def f():\n    return 1 / 0\nf()")

    assert str(caught.value) == (
        "The code raised ZeroDivisionError: division by zero\n\n"
        '  File "<code>", line 3, in <module>\n'
        '  File "<code>", line 2, in f'
    )
    assert not Report.objects.exists()


@pytest.mark.parametrize(
    "source", ["return 1", "await x", "'\udcff'", "(" * 1000, "-" * 100_000 + "1", "a\0b"]
)
def test_source_that_cannot_be_compiled_is_an_error(source):
    with pytest.raises(CommandError, match=r"^It is not Python: "):
        program.compile_program(source, "It")


@pytest.mark.parametrize(
    ("source", "value"), [("1", 1), ("x = 1\nx + 1", 2), ("x = 1", None), ("1; 2", 2)]
)
def test_a_program_returns_the_value_of_its_last_expression(source, value):
    assert program.compile_program(source, "It")({}) == value


def test_a_program_may_name_models_app_labels_and_parts_of_queries():
    names = program.names_at_hand()

    assert names["Author"] is names["app"].Author
    assert {"Q", "F", "Count", "Prefetch", "auth"} <= names.keys()


@pytest.mark.parametrize(
    ("source", "stored"),
    [
        ("list(Account.objects.all())", "list(Account.objects.all())"),
        ("list(Author.objects.filter(name='secret', pk=12))",
         "list(Author.objects.filter(name=?, pk=?))"),
        ("x = f'secret {1}'\nb'secret'  # secret", "x = ? ?"),
        ("def f(a=-1, b=None):\n    'secret'\n    return a[:10] is True",
         "def f(a=-?, b=None): ? return a[:?] is True"),
        ("match x:\n    case {'secret': 1} | 'secret': ...",
         "match x: case {?: ?} | ?: ..."),
    ],
)  # fmt: skip
def test_the_literals_of_a_program_are_not_stored(source, stored):
    assert program.without_literals(source) == stored
