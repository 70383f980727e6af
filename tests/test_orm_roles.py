"""What the walk for a call site does at a frame, by the file of its code."""

import dataclasses
from types import SimpleNamespace

import django
import pytest
from django.apps import apps

import django_memsize
from django_memsize.orm import roles
from django_memsize.orm.roles import (
    APP,
    APP_MARKUP,
    DJANGO,
    HANDLER,
    INTERNAL,
    LIBRARY,
    MARKUP,
    PROGRAM,
    VIEW,
)

DJANGO_FOLDER = django.__path__[0]
INSTALLED = "/venv/lib/python3.13/site-packages"


def role_of(file):
    roles.roles.clear()
    return roles.roles[file]


@pytest.mark.parametrize(
    ("file", "role"),
    [
        ("core/handlers/base.py", HANDLER),
        ("core/handlers/exception.py", HANDLER),
        ("core/handlers/asgi.py", HANDLER),
        ("views/generic/base.py", VIEW),
        ("views/generic/list.py", DJANGO),
        ("contrib/admin/options.py", DJANGO),
        ("contrib/sessions/backends/db.py", DJANGO),
        ("template/defaulttags.py", DJANGO),
        ("template/base.py", roles.TEMPLATE),
        ("forms/models.py", DJANGO),
        ("db/models/sql/compiler.py", INTERNAL),
        ("db/models/manager.py", INTERNAL),
        ("contrib/contenttypes/models.py", INTERNAL),
        ("contrib/auth/base_user.py", INTERNAL),
        ("core/paginator.py", INTERNAL),
        ("utils/functional.py", INTERNAL),
    ],
)
def test_the_role_of_a_file_of_django(file, role):
    assert role_of(f"{DJANGO_FOLDER}/{file}") is role


@pytest.mark.parametrize(
    ("file", "role"),
    [
        (__file__, PROGRAM),
        ("/srv/shop/views.py", PROGRAM),
        ("/srv/shop/templates/list.html", MARKUP),
        ("list.html", MARKUP),
        ("<template>", MARKUP),
        ("<unknown>", PROGRAM),
        ("/tmp/ipykernel_123/456.py", PROGRAM),
        ("<ipython-input-1-0a1b2c>", PROGRAM),
        ("<string>", roles.TEXT_OF_PROGRAM),
        (dataclasses.__file__, INTERNAL),
        (django_memsize.__file__, INTERNAL),
        (f"{INSTALLED}/tablib/core.py", LIBRARY),
        (f"{INSTALLED}/six.py", LIBRARY),
        (f"{INSTALLED}/tablib/list.html", INTERNAL),
        (f"{INSTALLED}/rest_framework/viewsets.py", VIEW),
        (f"{INSTALLED}/sentry_sdk/integrations/django/views.py", INTERNAL),
        (f"{INSTALLED}/sentry_sdk/integrations/django/template/base.py", INTERNAL),
        ("/usr/lib/python3/dist-packages/yaml/__init__.py", LIBRARY),
    ],
)
def test_the_role_of_another_file(file, role):
    assert role_of(file) is role


@pytest.fixture
def oscar(monkeypatch):
    """An installed app of which only a part is in INSTALLED_APPS, with a model of users."""
    app = SimpleNamespace(name="oscar.apps.catalogue", label="catalogue")
    monkeypatch.setitem(apps.app_configs, "catalogue", app)


@pytest.mark.usefixtures("oscar")
def test_the_package_of_an_installed_app_is_one_of_apps():
    assert role_of(f"{INSTALLED}/oscar/apps/catalogue/views.py") is APP
    assert role_of(f"{INSTALLED}/oscar/core/loading.py") is APP
    assert role_of(f"{INSTALLED}/oscar/jinja2/list.html") is APP_MARKUP
    assert role_of(f"{INSTALLED}/oscarbot/core.py") is LIBRARY


@pytest.mark.usefixtures("oscar")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROOT_URLCONF", "oscar.urls"),
        ("WSGI_APPLICATION", "oscar.wsgi.application"),
        ("ASGI_APPLICATION", "oscar.asgi.application"),
        ("MEMSIZE", {"PROGRAM": ["oscar"]}),
        ("MEMSIZE", {"PROGRAM": ["oscar.*"]}),
        ("MEMSIZE", {"PROGRAM": ["osc*"]}),
    ],
)
def test_a_package_of_the_program_is_told_by_the_settings(settings, name, value):
    file = f"{INSTALLED}/oscar/apps/catalogue/views.py"
    assert roles.roles[file] is APP

    setattr(settings, name, value)

    assert roles.roles[file] is PROGRAM
    assert roles.roles[f"{INSTALLED}/oscar/jinja2/list.html"] is MARKUP
    assert roles.roles[f"{INSTALLED}/tablib/core.py"] is LIBRARY


@pytest.mark.usefixtures("oscar")
@pytest.mark.parametrize(
    "given", [{"SETTINGS_MODULE": "oscar.settings"}, {"AUTH_USER_MODEL": "catalogue.User"}]
)
def test_the_settings_and_users_of_an_installed_program_are_a_part_of_it(monkeypatch, given):
    monkeypatch.setattr(roles, "settings", SimpleNamespace(**given))

    assert role_of(f"{INSTALLED}/oscar/core/loading.py") is PROGRAM
    roles.roles.clear()


def test_django_is_never_the_program(settings):
    settings.ROOT_URLCONF = "django.contrib.flatpages.urls"
    settings.MEMSIZE = {"PROGRAM": ["django.*"]}

    assert role_of(f"{DJANGO_FOLDER}/contrib/flatpages/views.py") is DJANGO


def test_no_role_is_remembered_before_the_apps_are_known(monkeypatch):
    roles.roles.clear()
    monkeypatch.setattr(apps, "ready", False)

    assert roles.roles[f"{INSTALLED}/oscar/core.py"] is LIBRARY
    assert len(roles.roles) == 0


def code_of(name):
    return (lambda: None).__code__.replace(co_qualname=name)


@pytest.mark.parametrize(
    ("name", "is_of_the_orm"),
    [
        ("PolymorphicQuerySet._polymorphic_iterator", True),
        ("QuerySetMixin._fetch_all", True),
        ("TreeManager.get_queryset_ancestors", True),
        ("PolymorphicModelIterable.__iter__", True),
        ("ForwardManyToOneDescriptor.__get__", True),
        ("get_attribute", False),
        ("ListSerializer.to_representation", False),
        ("ManagerView.get", False),
    ],
)
def test_code_that_extends_the_orm_is_told_by_its_name(name, is_of_the_orm):
    assert roles.is_of_the_orm(code_of(name)) is is_of_the_orm
