"""The line of the template that made the ORM load rows."""

import pytest
from django import forms
from django.template import Context, Engine, engines

from django_memsize.measuring.spans import in_span
from tests.app.models import Author, Book
from tests.books import line_of

pytest_plugins = ["tests.orm_fixtures"]


def test_the_call_site_in_a_template_without_a_name_is_the_line_that_renders_it(books, recording):
    source = "{% for book in books %}{{ book.author.name }}{% endfor %}"
    template = engines["django"].from_string(source)

    with in_span(recording):
        template.render({"books": Book.objects.all()})

    assert [(one.model, one.times) for one in recording.evaluations] == [
        ("app.Book", 1),
        ("app.Author", 6),
    ]
    rendering = 'template.render({"books": Book.objects.all()})'
    assert {line_of(one) for one in recording.evaluations} == {rendering}


PAGES = {
    "outer.html": "<h1>Books</h1>\n{% for book in books %}\n{% include 'inner.html' %}{% endfor %}",
    "inner.html": "<p>\n\n{{ book.title }} by {{ book.author.name }}</p>",
}


def test_the_call_site_in_a_template_is_the_line_of_the_innermost_node(books, recording):
    loader = ("django.template.loaders.locmem.Loader", PAGES)
    template = Engine(loaders=[loader]).get_template("outer.html")

    with in_span(recording):
        template.render(Context({"books": Book.objects.all()}))

    whole, lazy = (one.site for one in recording.evaluations)
    assert (whole.template, whole.template_line) == ("outer.html", 2)
    assert (lazy.template, lazy.template_line) == ("inner.html", 3)
    assert str(lazy) == f"inner.html:3, rendered by tests/test_orm_templates.py:{lazy.line}"


def jinja(books, name, table="1=3&3=4&4=5"):
    """Run code as Jinja generates it for a loop over books, in lines 1 to 4 of its template."""
    file = f"/srv/shop/templates/{name}" if name else "<template>"
    text = "def root(books):\n    pass\n    for book in books:\n        str(book.author)\n"
    names = {"__jinja_template__": None, "debug_info": table, "name": name}
    exec(compile(text, file, "exec"), names)
    names["root"](books)


def test_the_call_site_in_a_jinja_template_is_its_line_and_not_that_of_its_code(books, recording):
    with in_span(recording):
        jinja(Book.objects.all(), "list.html")

    whole, lazy = recording.evaluations
    assert str(whole.site).startswith("list.html:1, rendered by tests/test_orm_templates.py:")
    assert str(lazy.site).startswith("list.html:3, rendered by tests/test_orm_templates.py:")
    assert lazy.times == 6


def test_the_call_site_in_a_jinja_template_made_from_text_is_the_line_that_renders_it(
    books, recording
):
    with in_span(recording):
        jinja(Book.objects.all(), None)

    assert {line_of(one) for one in recording.evaluations} == {'names["root"](books)'}


@pytest.mark.parametrize("table", ["", "x", "1=2&x=y", "1=99"])
def test_a_table_of_lines_that_cannot_be_read_leads_to_the_first_line(books, recording, table):
    with in_span(recording):
        jinja(Book.objects.all(), "list.html", table)

    assert {one.site.template_line for one in recording.evaluations} == {1}


def test_a_source_of_python_with_another_suffix_is_the_programs(books, recording):
    with in_span(recording):
        exec(compile("\nlist(Book.objects.all())", "/srv/shop/run", "exec"))

    assert [str(one.site) for one in recording.evaluations] == ["run:2"]


def test_a_template_of_the_program_comes_before_one_of_a_library(books, recording):
    class Choice(forms.Form):
        author = forms.ModelChoiceField(Author.objects.all())

    pages = {"form.html": "<form>\n{{ form }}</form>"}
    loader = ("django.template.loaders.locmem.Loader", pages)

    with in_span(recording):
        Engine(loaders=[loader]).get_template("form.html").render(Context({"form": Choice()}))
        str(Choice())

    of_page, of_django = (one.site for one in recording.evaluations)
    assert (of_page.template, of_page.template_line) == ("form.html", 2)
    assert of_django.template.startswith("django/forms/")
