"""Views that other frameworks make, and the lines of what they load."""

import pytest
from django.test import RequestFactory, override_settings
from django.urls import path, resolve
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Router
from rest_framework import generics, serializers

from django_memsize.reports import recordings, view_names
from django_memsize.reports.findings import findings
from django_memsize.reports.requests import facts_of
from tests.app.models import Author, Book

ME = __name__

api, router = NinjaAPI(), Router()


class BookSerializer(serializers.ModelSerializer):
    written_by = serializers.CharField(source="author.name")

    class Meta:
        model = Book
        fields = ["title", "written_by"]


class BookList(generics.ListAPIView):
    queryset = Book.objects.order_by("pk")
    serializer_class = BookSerializer
    permission_classes = authentication_classes = ()


@api.get("/books/")
def books(request):
    return []


@api.post("/books/")
@csrf_exempt
def add_book(request):
    return []


@router.get("/{int:pk}/")
async def book(request, pk: int):
    return {}


@router.api_operation(["PUT", "PATCH"], "/{int:pk}/")
def change_book(request, pk: int):
    return {}


api.add_router("/others/", router)
urlpatterns = [path("api/", api.urls), path("books/", BookList.as_view())]


def passing_on(get_response):
    def middleware(request):
        return get_response(request)

    return middleware


def name_of(method, url):
    return view_names.view_of(resolve(url, ME).func).name(method)


def test_a_view_of_ninja_is_named_by_the_operation_of_the_method():
    assert name_of("GET", "/api/books/") == f"{ME}.books"
    assert name_of("POST", "/api/books/") == f"{ME}.add_book"
    assert name_of("GET", "/api/others/1/") == f"{ME}.book"
    assert name_of("PATCH", "/api/others/1/") == f"{ME}.change_book"
    assert name_of("DELETE", "/api/others/1/") == "ninja.operation.PathView.get_view"
    assert name_of("GET", "/api/openapi.json") == "ninja.openapi.views.openapi_json"


def test_a_report_has_the_name_of_the_operation():
    request = RequestFactory().post("/api/books/")
    request.resolver_match = resolve("/api/books/", ME)
    facts = facts_of(request, 200)

    assert facts.view.name(facts.method) == f"{ME}.add_book"


@pytest.mark.django_db
@pytest.mark.parametrize("around", [[], [f"{ME}.passing_on"]], ids=["alone", "below a middleware"])
def test_a_relation_that_a_serializer_follows_is_one_loop_of_the_view(client, settings, around):
    for number in range(12):
        author = Author.objects.create(name=f"author {number}")
        Book.objects.create(title=f"book {number}", author=author)
    changed = {"ROOT_URLCONF": ME, "MIDDLEWARE": [*settings.MIDDLEWARE, *around]}
    with override_settings(**changed), recordings.collecting() as reports:
        assert len(client.get("/books/").json()) == 12

    summary = reports[0].summary()
    authors = summary.evaluations[1]
    ((found,),) = [each for each in findings(summary).evaluations if each]
    assert (summary.view, authors.rows, authors.times) == (f"{ME}.BookList", 12, 12)
    assert str(authors.site).endswith(f" for {ME}.BookList")
    assert str(authors.site).startswith("rest_framework/")
    assert found.sentence == (
        "12 statements, one for each app.Author. "
        "select_related('author') on app.Book loads them together."
    )
