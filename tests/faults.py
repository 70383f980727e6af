"""Faults injected into the functions of django-memsize, and the pages that run these functions.

The functions are found in the source files of the package, so that a new function has a fault of
its own without being listed. A profile of the pages tells which page calls which function.
"""

import asyncio
import contextvars
import functools
import gc
import importlib
import io
import pkgutil
import sys
import tempfile
import threading
import time
import types
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.db import connection
from django.db.models import F, FilteredRelation
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

import django_memsize
from django_memsize import conf, engine, measure
from django_memsize.engine.fallback import census, meter, roots
from django_memsize.measuring import deferred, evaluation_log, routes, tokens
from django_memsize.models import Report
from django_memsize.orm import call_sites, patches, roles
from django_memsize.reports import outliers, recordings, view_names, writer_thread
from tests import threads
from tests.app.models import Account, Author, Book, Card, Novel, Reader, Tag
from tests.visits import EVERY_REQUEST, MEMSIZE, WITH_EVALUATIONS, create_accounts, without_memsize

ROOT = Path(django_memsize.__file__).parent

LEFT_OUT = {
    "admin": "runs in the pages of the admin, which are not measured",
    "apps": "runs once, when Django starts",
    "checks": "runs in commands, before any request",
    "commands": "runs in the command",
    "contrib": "runs in other libraries, where these are installed",
    "management": "runs in the command",
    "migrations": "runs in the command",
    "reports.fates": "runs where a report is shown, and inside the boundary of what is followed",
    "reports.findings": "runs where a report is shown",
    "reports.leaks": "runs where a report is shown",
    "reports.thresholds": "runs where a report is shown",
    "screens": "runs in the command and in the pages of the admin",
    "engine.tree": "is called by the program, which is to see its exceptions",
    "measuring.errors": "is the boundary that contains all other faults",
    "tools.alternatives": "runs in the command",
    "tools.heap": "is called by the program, which is to see its exceptions",
    "values.sized": "is called by the program, which is to see its exceptions",
    "values.ways": "runs in the command",
}
"""Modules and packages without injected faults, each with its reason."""


# The functions of the package


def modules():
    """Return the names of the modules whose functions are made to fail, below the package."""
    found = (
        module.name.removeprefix("django_memsize.")
        for module in pkgutil.walk_packages(django_memsize.__path__, "django_memsize.")
    )
    names = [name for name in found if not is_left_out(name) and name != "engine.compiled"]
    return ["", *sorted(names)]


def is_left_out(name):
    """Return whether a module is in ``LEFT_OUT``, or in a package that is."""
    return any(name == left_out or name.startswith(f"{left_out}.") for left_out in LEFT_OUT)


def place_of(code):
    """Return what identifies a code object among those of the package."""
    return code.co_filename, code.co_firstlineno, code.co_qualname


def is_function(code):
    """Return whether a code object belongs to a ``def`` or a ``lambda``.

    The other code objects are those of modules, classes, comprehensions and annotations.
    """
    inline = code.co_name.startswith("<") and code.co_name != "<lambda>"
    is_class = not code.co_flags & 1  # CO_OPTIMIZED (Include/cpython/code.h)
    return not inline and not is_class and code.co_name != "__annotate__"


def codes_in(code):
    """Return the code objects inside a code object, at any depth, itself included."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


@functools.cache
def functions():
    """Return every function and method of ``modules()``: name -> place.

    Functions of the same name in one module are numbered in the order of their lines.
    """
    found = {}
    for name in modules():
        module = importlib.import_module(f"django_memsize.{name}".rstrip("."))
        source = Path(module.__file__).read_text(encoding="utf-8")
        codes = codes_in(compile(source, module.__file__, "exec", dont_inherit=True))
        numbers = Counter()
        for code in sorted(filter(is_function, codes), key=place_of):
            full = f"{name}.{code.co_qualname}".lstrip(".")
            numbers[full] += 1
            full += f" ({numbers[full]})" if numbers[full] > 1 else ""
            found[full] = place_of(code)
    return found


def hosts():
    """Return the live functions by the places of their code and of the code inside it."""
    files = {file for file, _, _ in functions().values()}
    found = {}
    for function in gc.get_objects():
        if type(function) is types.FunctionType and function.__code__.co_filename in files:
            for code in codes_in(function.__code__):
                found.setdefault(place_of(code), []).append(function)
    return found


# Injection


def _fail(*args, **kwargs):
    hits_of_the_fault.append(True)  # noqa: F821 - put into the globals of the failing function
    raise ArithmeticError("injected")


def _failing_code(code, place):
    """Return the code with the function at ``place``, which it is or contains, made to raise."""
    if place_of(code) == place:
        return _fail.__code__.replace(
            co_freevars=code.co_freevars,
            co_filename=code.co_filename,
            co_name=code.co_name,
            co_qualname=code.co_qualname,
        )
    constants = (
        _failing_code(constant, place) if isinstance(constant, types.CodeType) else constant
        for constant in code.co_consts
    )
    return code.replace(co_consts=tuple(constants))


@contextmanager
def failing(place, live, hits):
    """Make a function raise when it is called, wherever it was imported to.

    ``live`` are the functions that contain it, or itself. A generator and a coroutine raise when
    they are called, too. Each call adds an item to ``hits``.
    """
    codes = [(function, function.__code__) for function in live]
    try:
        for function, code in codes:
            function.__globals__["hits_of_the_fault"] = hits
            _set_code(function, _failing_code(code, place))
        yield
    finally:
        for function, code in codes:
            _set_code(function, code)
            function.__globals__.pop("hits_of_the_fault", None)


def _set_code(function, code):
    with warnings.catch_warnings():
        # Python 3.13 deprecates making a generator function of a function, and the reverse.
        warnings.simplefilter("ignore", DeprecationWarning)
        function.__code__ = code


@contextmanager
def profiled(called):
    """Add to a set the places of the package's functions that are called.

    Python's collector is off, because it would run finalisers at any moment.
    """
    inside = str(ROOT)

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(inside):
            called.add(place_of(frame.f_code))

    gc.disable()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        gc.enable()
        sys.setprofile(None)
        threading.setprofile(None)


@contextmanager
def noticed():
    """Yield a list of the exceptions that ended a thread, or that a finaliser raised."""
    found = []
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda arguments: found.append(f"in a thread: {arguments.exc_value!r}")
    sys.unraisablehook = lambda event: found.append(f"in a finaliser: {event.exc_value!r}")
    try:
        yield found
    finally:
        threading.excepthook, sys.unraisablehook = hooks


# The pages


@dataclass(frozen=True)
class Page:
    """A page to be served, with the settings that it is measured with."""

    url: str
    memsize: dict = field(default_factory=dict, hash=False)
    patches: tuple = ()
    """(object, name, value) of each attribute that differs while the page is served."""

    def __str__(self):
        patched = [f"{name}={value}" for _, name, value in self.patches]
        return " ".join([self.url, *map(str, self.memsize.items()), *patched])


AT_ONCE = ((deferred, "_LONGEST_WAIT", 0.0),)
"""Analyses the recording of a request that is alive without waiting for it to be gone."""

FOLLOWED = (
    (recordings, "_is_first_request", lambda *_: False),
    (deferred, "_PAUSE", 0.0),
)
"""Analyses the first request before the second, and follows what it retains."""

COMMON = [
    Page("/plain/"),
    Page("/template/"),
    Page("/rows/"),
    Page("/stream/"),
    Page("/cycle/", patches=AT_ONCE),
    Page("/block/"),
    Page("/file/"),
    Page("/missing/"),
    Page("/plain/", EVERY_REQUEST),
    Page("/plain/", {"EXCLUDE": ["/plain/"]}),
    Page("/rows/", {"SAMPLE_RATE": 0.0}, ((outliers, "ROWS", 10),)),
    Page("/plain/", {"SAMPLE_RATE": 0.999}),
    Page("/plain/", {"SAMPLE_RATE": 1e-9, "SAMPLE_FIRST": 3}),
    Page("/plain/", {"SAMPLE_RATE": 1e-9}, ((tokens, "_IN_ENVIRON", "PATH_INFO"),)),
    Page(
        "/rows/",
        {"SAMPLE_RATE": 1e-9, "SAMPLE_RATES": {"/no/*": 1}, "SAMPLE": "tests.faults.sample"},
        ((routes, "MANY_ROWS", 10),),
    ),
    Page("/rows/", {"ROUTE": "tests.faults.name_route"}),
    Page("/plain/", {"SAMPLE_RATE": 2}),
    Page(
        "/plain/",
        {
            "TOP_TYPES": 1,
            "DATABASE": "default",
            "RETENTION": 1,
            "RETENTION_DAYS": 30,
            "RELEASE": "1.0",
        },
    ),
    Page("/dropped/"),
    Page("/plain/", patches=((conf, "is_under_test", bool),)),  # has a background thread
    Page("/plain/", patches=((Report._meta, "db_table", "no_such_table"),)),
    Page("/statements/"),
    Page("/kept/", patches=FOLLOWED),
]
ASYNCHRONOUS = [
    Page("/plain/async/", patches=AT_ONCE),
    Page("/stream/async/"),
    Page("/stream/async/values/"),
    Page("/block/async/"),
]
PAGES = {"sync": COMMON, "async": [*ASYNCHRONOUS, *COMMON]}


def create_rows():
    """Create the rows that the pages load."""
    create_accounts(3)
    author = Author.objects.create(name="author")
    books = [Book.objects.create(title=f"book {number}", author=author) for number in range(3)]
    Novel.objects.create(title="novel", author=author)
    author.best = books[0]
    author.save()
    reader = Reader.objects.create(name="reader")
    Card.objects.create(reader=reader)
    for book in books:
        book.readers.add(reader)
        book.tags.create(name="tag")


def sample(request):
    """Stand for the callable of the settings."""
    return None if request.header("X-Any") is None else 0.5


def name_route(match):
    """Stand for the other callable of the settings."""
    return match.url_name or "name"


KEPT = {}


def kept(request):
    KEPT["texts"] = [f"text {number}" for number in range(300)]
    return HttpResponse("kept")


def plain(request):
    return HttpResponse(str(len(Account.objects.all())))


async def plain_async(request):
    names = [account.name async for account in Account.objects.order_by("pk")]
    await asyncio.sleep(0)
    return HttpResponse(" ".join(names))


def template(request):
    return render(request, "app/accounts.html", {"accounts": Account.objects.all()})


def stream(request):
    rows = Book.objects.select_related("author").order_by("pk").iterator()
    return StreamingHttpResponse(f"{book.title} {book.author.name}\n" for book in rows)


async def stream_async(request):
    async def parts():
        async for book in Book.objects.select_related("author").order_by("pk").aiterator():
            yield f"{book.title} {book.author.name}\n"

    return StreamingHttpResponse(parts())


async def stream_async_of_values(request):
    async def parts():
        async for name in Account.objects.order_by("pk").values_list("name", flat=True).aiterator():
            yield name

    return StreamingHttpResponse(parts())


def rows(request):
    """Load rows in each way that the patch on Django knows."""
    alias = connection.ops.quote_name("text")
    written = f"SELECT *, 'a' AS {alias} /* by hand */ FROM app_book one"
    books = Book.objects.order_by("pk")
    found = [
        [book.title for book in Book.objects.raw(f"{written} ORDER BY id")],
        [(book.author.name, len(book.readers.all())) for book in books.prefetch_related("readers")],
        [book.author.best.title for book in books.select_related("author__best")],
        [book.author.name for book in books],
        [(book.title, book.blurb) for book in books.only("title")],
        list(books.values("title")),
        list(books.values_list("title", flat=True)),
        list(books.values_list("title", named=True)),
        [tag.target.title for tag in Tag.objects.order_by("pk").prefetch_related("target")],
        [tag.target.title for tag in Tag.objects.order_by("pk")],
        [card.reader.name for card in Card.objects.select_related("reader")],
        [book.title for book in Book.objects.raw("SELECT * FROM app_book ORDER BY id").iterator()],
        [book.title for book in books.iterator()],
        [book.author.name for book in books.select_related("author").iterator()],
        list(books.values("title").iterator()),
        (books.count(), books.exists()),
        list(Reader.objects.none()),
    ]
    book = books[0]
    book.refresh_from_db()
    Book.objects.filter(author__name="author").update(blurb=F("title"))
    Book.objects.update(blurb="")
    Novel.objects.update(title=F("title"), pages=1)
    Author.objects.create(name="deleted").delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT title FROM app_book ORDER BY id")
        found += [cursor.fetchone(), cursor.fetchmany(1), cursor.fetchall()]
        cursor.execute("SELECT title FROM app_book ORDER BY id")
        found.append(list(cursor))
        cursor.executemany("UPDATE app_book SET title = title WHERE id = %s", [(1,), (2,)])
    return HttpResponse(repr(found))


def statements(request):
    """Load rows at one call site by several statements, and relations without naming them."""
    found = []
    for name in ("title", "-title", "pk"):
        found.append([book.title for book in Book.objects.order_by(name, "pk")])
    cards = Card.objects.all()
    cards.query.select_related = True  # as select_related() without names, which Django deprecates
    books = Book.objects.annotate(writer=FilteredRelation("author")).select_related("writer")
    found += [len(cards), len(books)]
    return HttpResponse(repr(found))


def file(request):
    return FileResponse(io.BytesIO(b"content of a file"), filename="file.txt")


def cycle(request):
    request.cycle = request  # alive until the collector runs
    return HttpResponse(f"cycle {len(Account.objects.all())}")


def work():
    return len(Account.objects.all())


def block(request):
    """Measure blocks and functions, one inside another, one left by an exception."""
    answers = [measure("decorated", save=True)(work)()]
    with measure("outer", save=True) as outer, measure("inner") as inner:
        answers.append(work())
    try:
        with measure("left"):
            raise LookupError("of the program")
    except LookupError as error:
        answers.append(str(error))
    shown = [type(recording).__name__ for recording in (outer, inner)]
    return HttpResponse(f"{answers} {shown}")


async def block_async(request):
    async def asynchronous_work():
        return [account.name async for account in Account.objects.order_by("pk")]

    answers = [await measure("decorated", save=True)(asynchronous_work)()]
    with measure("block", save=True) as recording:
        answers.append(await asynchronous_work())
    return HttpResponse(f"{answers} {type(recording).__name__}")


@sync_and_async_middleware
def dropping(get_response):
    """Replace some responses by others, as a cache does: what it replaces is never closed."""
    if iscoroutinefunction(get_response):

        async def answer(request):
            response = await get_response(request)
            return HttpResponse("other") if request.path == "/dropped/" else response

    else:

        def answer(request):
            response = get_response(request)
            return HttpResponse("other") if request.path == "/dropped/" else response

    return answer


urlpatterns = [
    path("plain/", plain),
    path("dropped/", plain),
    path("plain/async/", plain_async),
    path("kept/", kept),
    path("template/", template),
    path("stream/", stream),
    path("stream/async/", stream_async),
    path("stream/async/values/", stream_async_of_values),
    path("rows/", rows),
    path("statements/", statements),
    path("file/", file),
    path("cycle/", cycle),
    path("block/", block),
    path("block/async/", block_async),
]


# Serving


class SmallHeap:
    """What the walk of the heap in Python sees of ``gc``: a few objects instead of all."""

    _HEAP = ([{"a": 1}, [1, 2.5], (1, [3]), types.SimpleNamespace(b=2), _fail.__code__], int)

    def __getattr__(self, name):
        return getattr(gc, name)

    def get_objects(self):
        return list(self._HEAP[0])


def use_small_heap(monkeypatch):
    """Replace the compiled engine by the one in Python, and the heap by a small one."""
    monkeypatch.setattr(roots, "gc", SmallHeap())
    monkeypatch.setattr(roots, "object", int, raising=False)  # the classes below it are few
    monkeypatch.setattr(engine, "census", census.census)
    for name in (
        "Stream",
        "Window",
        "discard_windows",
        "limit_meter",
        "meter_bytes",
        "switch_window",
    ):
        monkeypatch.setattr(engine, name, getattr(meter, name))


def lower_limits(monkeypatch):
    """Have few evaluations reach what is done for many, and wait shortly for objects to be gone."""
    monkeypatch.setattr(deferred, "_PAUSE", 0.001)
    monkeypatch.setattr(deferred, "_LOOK", 0.001)
    monkeypatch.setattr(deferred, "_IDLE", 0.001)
    monkeypatch.setattr(writer_thread, "BETWEEN_BATCHES", 0.001)
    monkeypatch.setattr(evaluation_log, "EVALUATIONS_LOGGED", 12)


class Pages:
    """Serves pages to a client of one kind, measured by one instrument."""

    def __init__(self, settings, mode, instrument, monkeypatch):
        # Without those of Django, which leave requests in reference cycles, but on pages made so.
        settings.MIDDLEWARE = ["tests.faults.dropping", MEMSIZE]
        self.mode = mode
        self.instrument = instrument
        self._monkeypatch = monkeypatch
        self._client = AsyncClient() if mode == "async" else Client()
        with override_settings(MIDDLEWARE=without_memsize(settings.MIDDLEWARE)):
            client = AsyncClient() if mode == "async" else Client()
            self.expected = {page: self._get(client, page.url) for page in PAGES[mode]}

    def visit(self, page, surroundings):
        """Return the page's two responses, and every other sign of a fault, as one list.

        The second request analyses what the first one left. Nothing is cached that would spare a
        call. The requests run inside the context manager ``surroundings``.
        """
        forget()
        memsize = WITH_EVALUATIONS | {"INSTRUMENT": self.instrument} | page.memsize
        context = contextvars.copy_context()
        with override_settings(MEMSIZE=memsize), self._monkeypatch.context() as patch:
            for patched, name, value in page.patches:
                patch.setattr(patched, name, value)
            with noticed() as signs, surroundings:
                responses = []
                for _ in range(2):
                    responses.append(context.run(self._try, self._client, page.url))
                    wait_for_threads()
        return [*responses, *signs]

    def is_as_expected(self, page, answers):
        """Return whether the answers of ``visit()`` are those of a program without memsize."""
        return answers == [self.expected[page]] * 2

    def _try(self, client, url):
        try:
            return self._get(client, url)
        except Exception as error:
            return f"raised {error!r}"

    def _get(self, client, url):
        if self.mode == "async":
            return async_to_sync(self._aget)(client, url)
        response = client.get(url)
        body = b"".join(response.streaming_content) if response.streaming else response.content
        response.close()
        return _facts(response, body)

    async def _aget(self, client, url):
        response = await client.get(url)
        streaming = response.streaming
        body = b"".join([part async for part in response]) if streaming else response.content
        response.close()
        return _facts(response, body)


def _facts(response, body):
    response.json = None  # of the test client: refers to the response, which is a reference cycle
    headers = sorted(pair for pair in response.headers.items() if pair[0] != "Expires")
    return type(response).__name__, response.status_code, headers, body


def forget():
    """Return the package to the state of a new process: no patch, no cache, nothing waiting."""
    patches.uninstall()
    for name, module in list(sys.modules.items()):
        if name.startswith("django_memsize"):
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
    roles.roles.clear()
    call_sites._call_sites.clear()
    view_names._views.clear()
    threads.end()
    for file in Path(tempfile.gettempdir()).glob("django-memsize-*/*"):
        file.unlink()


def wait_for_threads(seconds=20):
    """Wait for the threads that analyse and store. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not _writers_wait() and time.monotonic() < deadline:
        time.sleep(0.001)
    while threads := [thread for thread in threading.enumerate() if thread.name == "memsize"]:
        for thread in threads:
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(thread)


def _writers_wait():
    """Return whether each thread that stores waits for another report."""
    frames = sys._current_frames()
    writers = [thread for thread in threading.enumerate() if thread.name == "memsize-writer"]
    waiting = [frames[thread.ident] for thread in writers if thread.ident in frames]
    return all(frame.f_code.co_name == "_wait_for_first" for frame in waiting)


def rows_of_a_request():
    """Return the rows of one more request, as reported: django-memsize is to work again."""
    with override_settings(MEMSIZE=EVERY_REQUEST), recordings.collecting() as reports:
        Client().get("/plain/").json = None
    return [report.rows for report in reports]
