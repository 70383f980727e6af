import json

from django_memsize import engine
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE, os

DATABASES = json.loads(os.environ["SERVED_DATABASES"])
ROOT_URLCONF = os.environ.get("SERVED_URLS", "tests.served.urls")
MEMSIZE = {
    "SAMPLE_RATE": 1.0,
    "MAX_OVERHEAD": 1.0,
    "EVALUATIONS": False,
    "RETENTION": 100_000,
    "EXCLUDE": ["/up/"],
}
if "SERVED_DEFAULTS" in os.environ:
    MEMSIZE = {}
if "WITHOUT_MEMSIZE" in os.environ:
    INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "django_memsize"]
    MIDDLEWARE = MIDDLEWARE[1:]
if "SERVED_SILK" in os.environ:
    INSTALLED_APPS = [*INSTALLED_APPS, "silk"]
    MIDDLEWARE = ["silk.middleware.SilkyMiddleware", *MIDDLEWARE]
    ROOT_URLCONF = "tests.third_party.beside_urls"

if engine.Window is None:  # else requests are only counted
    MEMSIZE["INSTRUMENT"] = "census"
MEMSIZE |= json.loads(os.environ.get("SERVED_MEMSIZE", "{}"))
