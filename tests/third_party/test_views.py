"""The names of views that other frameworks make of the functions of a program."""

from django.test import RequestFactory
from django.urls import path, resolve
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Router

from django_memsize.reports import view_names
from django_memsize.reports.requests import facts_of

ME = __name__

api, router = NinjaAPI(), Router()


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
urlpatterns = [path("api/", api.urls)]


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
