"""Serve requests beside a tool that watches them, in a process of its own.

    python -m tests.third_party.beside {none,TOOL} {without,measured} FOLDER

Prints as JSON the status and body of each response, the statements that the tool saw, and the
route, status and rows of each report.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

TOOL, MEASURED, FOLDER = sys.argv[1], sys.argv[2] == "measured", Path(sys.argv[3])
ASKED = ["/accounts/", "/accounts/1/", "/accounts/template/", "/accounts/stream/", "/nothing/"]
OURS = "django_memsize.middleware.MemsizeMiddleware"
BEGIN = {}


def tool(begin):
    """Register a function that begins a tool; it returns one that returns the statements seen."""
    BEGIN[begin.__name__] = begin
    return begin


@tool
def none(settings):
    return list


@tool
def sentry(settings):
    import sentry_sdk

    envelopes = []

    class Kept(sentry_sdk.transport.Transport):
        def capture_envelope(self, envelope):
            envelopes.append(envelope)

    sentry_sdk.init(
        dsn="http://key@127.0.0.1/1", transport=Kept, traces_sample_rate=1.0, send_default_pii=True
    )

    def seen():
        sentry_sdk.flush()
        found = []
        for envelope in envelopes:
            for item in envelope.items:
                spans = (item.payload.json or {}).get("spans", [])
                found += [span["description"] for span in spans if span["op"] == "db"]
        return found

    return seen


@tool
def opentelemetry(settings):
    from opentelemetry import trace
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    SQLite3Instrumentor().instrument()
    AFTER_SETUP.append(DjangoInstrumentor().instrument)

    def seen():
        attributes = [span.attributes or {} for span in exporter.get_finished_spans()]
        statements = [a.get("db.statement", a.get("db.query.text")) for a in attributes]
        return [statement for statement in statements if statement]

    return seen


@tool
def ddtrace(settings):
    from ddtrace import patch
    from ddtrace.trace import TraceFilter, tracer

    spans = []

    class Kept(TraceFilter):
        def process_trace(self, trace):
            if (trace[0].context.sampling_priority or 0) >= 0:  # else the agent drops it
                spans.extend(trace)

    tracer.configure(trace_processors=[Kept()])
    patch(django=True, sqlite3=True)

    def seen():
        tracer.flush()
        return [span.resource for span in spans if span.span_type == "sql"]

    return seen


@tool
def newrelic(settings):
    import newrelic.agent
    from newrelic.api.database_trace import DatabaseTrace

    statements = []
    enter = DatabaseTrace.__enter__

    def noted(self):
        entered = enter(self)
        if self.activated:  # inside a transaction that the agent knows
            statements.append(self.sql)
        return entered

    DatabaseTrace.__enter__ = noted
    newrelic.agent.initialize()
    newrelic.agent.register_application(timeout=0)
    return lambda: statements


@tool
def silk(settings):
    settings["INSTALLED_APPS"].append("silk")
    settings["MIDDLEWARE"].insert(1, "silk.middleware.SilkyMiddleware")
    settings["ROOT_URLCONF"] = "tests.third_party.beside_urls"

    def seen():
        from silk.models import SQLQuery

        return list(SQLQuery.objects.order_by("pk").values_list("query", flat=True))

    return seen


@tool
def debug_toolbar(settings):
    settings["INSTALLED_APPS"].append("debug_toolbar")
    settings["MIDDLEWARE"].insert(1, "debug_toolbar.middleware.DebugToolbarMiddleware")
    settings |= {
        "DEBUG": True,
        "ROOT_URLCONF": "tests.third_party.beside_urls",
        "DEBUG_TOOLBAR_CONFIG": {"SHOW_TOOLBAR_CALLBACK": lambda request: True},
    }
    statements = []

    def keep():
        from debug_toolbar.panels.sql import SQLPanel

        generate = SQLPanel.generate_stats

        def noted(self, request, response):
            statements.extend(query["sql"] for query in self._queries)
            return generate(self, request, response)

        SQLPanel.generate_stats = noted

    AFTER_SETUP.append(keep)
    return lambda: statements


@tool
def debug_toolbar_with_locals(settings):
    """It prints the local variables of every frame that a statement comes from."""
    seen = debug_toolbar(settings)
    settings["DEBUG_TOOLBAR_CONFIG"]["ENABLE_STACKTRACES_LOCALS"] = True
    # A view with a queryset in a variable fails beside it: printing that asks the database again.
    ASKED[:] = ["/accounts/", "/nothing/"]
    return seen


@tool
def memray(settings):
    import memray

    tracker = memray.Tracker(FOLDER / f"{os.getpid()}.memray")
    tracker.__enter__()

    def seen():
        tracker.__exit__(None, None, None)
        return []

    return seen


@tool
def coverage(settings):
    import coverage

    measuring = coverage.Coverage(data_file=None, source=["tests.app"], concurrency=["thread"])
    measuring.start()

    def seen():
        measuring.stop()
        measuring.save()
        return []

    return seen


AFTER_SETUP = []
WITHOUT_NETWORK = {
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
    "NEW_RELIC_DEVELOPER_MODE": "true",
    "NEW_RELIC_LICENSE_KEY": "0" * 40,
    "NEW_RELIC_APP_NAME": "tests",
}


def configured():
    from tests import settings as theirs

    names = ("INSTALLED_APPS", "MIDDLEWARE")
    settings = {name: list(getattr(theirs, name)) for name in names}
    others = ("SECRET_KEY", "ROOT_URLCONF", "USE_TZ", "STATIC_URL", "TEMPLATES", "ALLOWED_HOSTS")
    settings |= {name: getattr(theirs, name) for name in others}
    settings["DEFAULT_AUTO_FIELD"] = theirs.DEFAULT_AUTO_FIELD
    file = FOLDER / f"{TOOL}-{MEASURED}.sqlite3"
    settings["DATABASES"] = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}}
    settings["MEMSIZE"] = {"SAMPLE_RATE": 1.0, "MAX_OVERHEAD": 1.0, "DATABASE": "default"}
    if not MEASURED:
        settings["INSTALLED_APPS"].remove("django_memsize")
        settings["MIDDLEWARE"].remove(OURS)
    return settings


def ask(application, path):
    """Return the status and the body of a response, closed as a server does it."""
    begun = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    response = application(environ, lambda status, headers, *_: begun.append(status))
    with contextlib.closing(response) if hasattr(response, "close") else contextlib.nullcontext():
        body = b"".join(response).decode()
    return begun[0], body


def main():
    os.environ.update(WITHOUT_NETWORK)
    settings = configured()
    seen = BEGIN[TOOL](settings)

    import django
    from django.conf import settings as django_settings

    django_settings.configure(**settings)
    django.setup()
    for function in AFTER_SETUP:
        function()
    from django.core.management import call_command
    from django.utils import timezone

    from tests.app.models import Account

    call_command("migrate", verbosity=0, run_syncdb=True)
    now = timezone.now()
    Account.objects.bulk_create(
        Account(name=f"account {n}", created_at=now, updated_at=now) for n in range(10)
    )
    before = len(seen())

    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    if TOOL == "newrelic":
        import newrelic.agent

        application = newrelic.agent.WSGIApplicationWrapper(application)
    answers = [ask(application, path) for path in ASKED]
    reports = []
    if MEASURED:
        from django_memsize.models import Report
        from django_memsize.reports import writer

        assert writer.flush(30), writer.last_error()
    statements = seen()[before:]
    if MEASURED:
        reports = list(Report.objects.order_by("pk").values_list("route", "rows", "incomplete"))
    sys.stdout.write(json.dumps({"answers": answers, "statements": statements, "reports": reports}))


if __name__ == "__main__":
    main()
