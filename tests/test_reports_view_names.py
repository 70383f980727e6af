"""The name of a view, whatever is around it, without running any of its code."""

import functools
import gc
import types

import pytest
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.contrib.syndication.views import Feed
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import ListView

from django_memsize.reports import view_names
from tests.app.models import Author

ME = __name__


def name_of(callback, method="GET"):
    return view_names.view_of(callback).name(method)


def index(request):
    """A view."""


async def index_async(request):
    """A view."""


def without_wraps(view_func):
    def inner(request):
        return view_func(request)

    return inner


def with_wraps(given):
    @functools.wraps(given)
    def inner(request):
        return given(request)

    return inner


def made(serialize):
    def made_view(request):
        return serialize(request)

    return made_view


@method_decorator(login_required, name="dispatch")
class History(ListView):
    model = Author


class Latest(Feed):
    pass


class Slotted:
    __slots__ = ()

    def __call__(self, request):
        pass


class Site:
    def index(self, request):
        pass

    @classmethod
    def page(cls, request):
        pass

    class Inner:
        def __call__(self, request):
            pass


class Hostile:
    """An object that must not be asked for anything."""

    def __getattribute__(self, name):
        raise AssertionError(name)

    def __eq__(self, other):
        raise AssertionError

    __hash__ = None

    @property
    def __dict__(self):
        raise AssertionError

    def __call__(self, request):
        pass


class Partial(functools.partial):
    def __getattribute__(self, name):
        raise AssertionError(name)


@functools.lru_cache
def cached(request):
    """A view."""


class AuthorAdmin(admin.ModelAdmin):
    pass


class Resource:
    """As Tastypie's and Wagtail's: each function that its method makes is a view."""

    def wrap_view(self, view):
        def wrapper(request, *args, **kwargs):
            return getattr(self, view)(request, *args, **kwargs)

        return wrapper

    def only_view(self):
        def wrapper(request):
            return self

        return wrapper

    @staticmethod
    def as_view(view_name):
        def view_router(request):
            return view_name

        return view_router


def route_to(view_name):
    return lambda request: view_name


class Orders(Resource):
    pass


site = admin.AdminSite()
site.register(Author, AuthorAdmin)


def admin_callback(name):
    patterns = site._registry[Author].get_urls()
    return next(each.callback for each in patterns if each.name == f"app_author_{name}")


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (index, f"{ME}.index"),
        (index_async, f"{ME}.index_async"),
        (csrf_exempt(index), f"{ME}.index"),
        (cache_page(60)(login_required(index)), f"{ME}.index"),
        (without_wraps(index), f"{ME}.index"),
        (without_wraps(with_wraps(without_wraps(index))), f"{ME}.index"),
        (made(index), f"{ME}.made.<locals>.made_view"),
        (functools.partial(index, extra=1), f"{ME}.index"),
        (functools.partial(functools.partial(without_wraps(index))), f"{ME}.index"),
        (History.as_view(), f"{ME}.History"),
        (csrf_exempt(History.as_view(paginate_by=3)), f"{ME}.History"),
        (without_wraps(History.as_view()), f"{ME}.History"),
        (functools.partial(History.as_view()), f"{ME}.History"),
        (Latest(), f"{ME}.Latest"),
        (Slotted(), f"{ME}.Slotted"),
        (Site().index, f"{ME}.Site.index"),
        (Site.page, f"{ME}.Site.page"),
        (Site.Inner(), f"{ME}.Site.Inner"),
        (Site, f"{ME}.Site"),
        (cached, f"{ME}.cached"),
        (len, "builtins.len"),
        (admin_callback("changelist"), f"{ME}.AuthorAdmin.changelist_view"),
        (admin_callback("change"), f"{ME}.AuthorAdmin.change_view"),
        (csrf_exempt(Orders().wrap_view("dispatch_list")), f"{ME}.Orders.dispatch_list"),
        (Orders().wrap_view("no name"), f"{ME}.Orders.wrap_view"),
        (Orders().only_view(), f"{ME}.Orders.only_view"),
        (Orders.as_view("edit"), f"{ME}.Resource.edit"),
        (route_to("edit"), f"{ME}.route_to.edit"),
        (without_wraps(site.index), "django.contrib.admin.sites.AdminSite.index"),
    ],
)
def test_the_name_of_a_view(callback, name):
    assert name_of(callback) == name
    assert name_of(callback) == name  # as remembered


def test_no_code_of_a_callback_runs():
    assert name_of(Hostile()) == f"{ME}.Hostile"
    assert name_of(functools.partial(Hostile())) == f"{ME}.Hostile"
    assert name_of(Partial(index)) == f"{ME}.index"


def test_a_decorator_in_a_circle_ends():
    inner = with_wraps(index)
    inner.__wrapped__ = inner

    assert name_of(inner) == f"{ME}.index"


def test_a_decorator_whose_variable_has_no_value_is_a_view_of_its_own():
    def decorator():
        def inner(request):
            return view_func(request)

        if inner is None:
            view_func = index
        return inner

    assert name_of(decorator()).endswith("decorator.<locals>.inner")


class OrderViewSet:
    pass


def rest_view(cls, **attributes):
    """Return a view as the REST framework's ``as_view()`` does."""

    def view(request):
        pass

    vars(view).update(attributes, cls=cls, initkwargs={}, __wrapped__=index)
    return view


def test_a_viewset_is_named_with_the_action_of_the_method():
    view = csrf_exempt(rest_view(OrderViewSet, actions={"get": "list", "post": "create", 7: "x"}))

    assert name_of(view) == f"{ME}.OrderViewSet.list"
    assert name_of(view, "POST") == f"{ME}.OrderViewSet.create"
    assert name_of(view, "DELETE") == f"{ME}.OrderViewSet"


def test_a_class_that_the_rest_framework_made_of_a_function_has_the_name_of_the_function():
    made_class = type("WrappedAPIView", (), {"__module__": "shop.views"})
    made_class.__name__ = "latest"

    assert name_of(rest_view(made_class)) == "shop.views.latest"


def test_a_name_that_is_no_text_is_replaced():
    view = types.FunctionType(index.__code__, {})
    view.__module__ = Hostile()

    assert name_of(view) == "?.index"


def test_a_long_name_is_cut():
    view = with_wraps(index)
    del view.__wrapped__
    view.__qualname__ = "x" * 300 + "\n"

    assert len(name_of(view)) == 255


def test_the_decorators_of_a_view_are_known_by_their_code():
    view = view_names.view_of(without_wraps(functools.partial(with_wraps(index))))

    file = "tests/test_reports_view_names.py"
    assert view.decorators == (
        (file, "without_wraps.<locals>.inner"),
        (file, "with_wraps.<locals>.inner"),
    )


def test_a_callback_is_not_kept_alive_and_its_successor_is_not_taken_for_it(monkeypatch):
    monkeypatch.setattr(view_names, "_views", view_names._Views())
    monkeypatch.setattr(view_names, "_MOST_VIEWS", 10)
    names = set()
    for number in range(200):
        view = without_wraps(with_wraps(index)) if number % 2 else made(index)
        names.add((number % 2, name_of(view)))
        del view
    gc.collect()

    assert names == {(0, f"{ME}.made.<locals>.made_view"), (1, f"{ME}.index")}
    assert len(view_names._views) <= 10
    assert all(known() is None for known in view_names._views.values())


def names_of(authors):
    """No view, but what one calls."""


def exported(func):
    def export_view(request):
        return func(list(Author.objects.all()))

    return export_view


def guarded(callback):
    def guarded_view(request):
        return callback(request) and None

    return guarded_view


def passed_on(func):
    def inner(*args, **kwargs):
        return func(*args, **kwargs)

    return inner


class Wrapping:
    @property
    def __wrapped__(self):
        raise AssertionError

    def __init__(self):
        self.number = 3

    def __call__(self, request):
        pass


def test_a_helper_of_a_view_is_not_its_name():
    for helper in (names_of, functools.partial(names_of), [].append):
        assert name_of(exported(helper)) == f"{ME}.exported.<locals>.export_view"
        assert name_of(passed_on(helper)) == f"{ME}.passed_on.<locals>.inner"
    assert name_of(guarded(index)) == f"{ME}.guarded.<locals>.guarded_view"
    assert name_of(passed_on(index)) == f"{ME}.index"


def test_any_class_of_a_function_is_not_its_name():
    def page(request):
        pass

    page.cls = Author
    assert name_of(page).endswith("<locals>.page")


def test_property_is_not_the_name_of_an_object():
    assert name_of(Wrapping()) == f"{ME}.Wrapping"


def test_decorators_around_a_class_are_known():
    view = view_names.view_of(with_wraps(with_wraps(History.as_view())))
    assert view.name("GET") == f"{ME}.History"
    inner = [name for _, name in view.decorators if name.startswith("with_wraps")]
    assert inner == ["with_wraps.<locals>.inner"] * 2


def test_looking_at_a_callback_makes_no_dict_for_it():
    def new(request):
        pass

    for callback in (new, Wrapping()):
        before = len(gc.get_referents(callback))
        kinds = [type(each) for each in gc.get_referents(callback)]
        view_names.view_of(callback)
        assert [type(each) for each in gc.get_referents(callback)] == kinds
        assert len(gc.get_referents(callback)) == before
