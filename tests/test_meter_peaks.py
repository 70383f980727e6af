"""Following a peak: what was alive by type near it, whoever allocated it."""

import ctypes
import sys
import threading

import pytest

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.windows import inside, names, no_collector, total  # noqa: E402

FIRST = 64 * 1024


class Item:
    """Only tests make these."""

    __slots__ = ("text",)

    def __init__(self, number):
        self.text = f"the text of number {number}"


NAME = f"{Item.__module__}.{Item.__qualname__}"


def make(number):
    return [Item(each) for each in range(number)]


def followed(*limits):
    window = compiled.Window()
    window.open()
    window.follow_peak(FIRST, *limits)
    return window


@pytest.fixture(autouse=True)
def _without_collector():
    with no_collector():
        yield


def test_what_is_alive_near_the_peak_is_known_by_type():
    window = followed()
    with inside(window):
        made = make(20_000)
        del made
        make(100)
    window.close()

    assert window.peak[1] / 2 <= window.bytes_near_peak <= window.peak[1]
    in_use, free_lists = window.near_peak
    assert total(in_use, free_lists) >= window.bytes_near_peak
    assert 10_000 <= names(in_use)[NAME] <= 20_000
    assert names(in_use)["str"] >= names(in_use)[NAME] - 1
    seconds, of_this_thread = window.seconds_near_peak
    assert 0 < seconds == of_this_thread < 60


@pytest.mark.parametrize(
    ("follow", "number"),
    [
        (lambda window: None, 20_000),
        (lambda window: window.follow_peak(10**9), 20_000),
        (lambda window: window.follow_peak(FIRST), 100),
        (lambda window: window.follow_peak(FIRST, 100), 20_000),
    ],
    ids=["not followed", "a high first moment", "little", "too many blocks"],
)
def test_a_peak_that_is_not_looked_at_has_no_table(follow, number):
    window = compiled.Window()
    window.open()
    follow(window)
    with inside(window):
        make(number)
    window.close()

    assert (window.near_peak, window.bytes_near_peak) == (None, 0)


def test_moments_with_too_many_blocks_are_left_out():
    window = followed(5000)
    with inside(window):
        make(20_000)
    window.close()

    assert 0 < names(window.near_peak[0])[NAME] <= 2500  # each has a text


def test_short_peaks_one_after_another_are_not_looked_at_each_time():
    window, number = followed(), 50_000_000
    with inside(window):
        kept = make(20_000)
        compiled.set_turn(1000)
        try:
            for _ in range(50):
                "x" * number
        finally:
            times_given_back, _ = compiled.set_turn(0)
    window.close()

    assert len(kept) == 20_000
    assert times_given_back < 500  # a look at 40,000 blocks gives the GIL back some 100 times


def test_a_lower_moment_does_not_take_the_place_of_the_highest():
    window, number = followed(), 50_000_000
    with inside(window):
        kept = make(20_000)
        before = window.bytes_near_peak
        del kept
        "x" * number
        for _ in range(3):
            pass
    window.close()

    assert window.bytes_near_peak == before > 0
    assert names(window.near_peak[0])[NAME] > 1000


def test_what_waits_to_be_looked_at_leaves_room_among_the_pending_calls():
    add = ctypes.pythonapi.Py_AddPendingCall
    function = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda _: 0)
    added, over = [], threading.Lock()

    def peaks():
        for _ in range(40):
            window = followed()
            with inside(window):
                make(2000)
            window.close()
            window.discard()
        added.append(add(function, None))
        over.release()

    over.acquire()
    thread = threading.Thread(target=peaks)
    thread.start()
    over.acquire()  # the main thread makes no pending call until then
    thread.join()

    assert added == [0]


def test_what_is_allocated_in_windows_inside_counts():
    window, inner = followed(), compiled.Window()
    with inside(window):
        inner.open()
        inner.follow_peak(FIRST)  # of an outermost window only
        with inside(inner):
            made = make(10_000)
        inner.close()
        made += make(10_000)
    window.close()

    assert inner.near_peak is None
    assert names(window.near_peak[0])[NAME] >= 10_000


def test_no_moment_in_a_window_that_its_opener_looks_at_is_looked_at():
    window, evaluation, nested = followed(), compiled.Window(), compiled.Window()
    with inside(window):
        evaluation.open(window, True)
        with inside(evaluation):
            made = make(10_000)
            nested.open(evaluation)
            with inside(nested):
                make(30_000)
            before = window.bytes_near_peak
        made += make(100)
    window.close()

    assert before == 0
    assert 10_000 <= names(window.near_peak[0])[NAME] <= 10_100


def test_what_the_caller_has_looked_at_is_looked_at_where_it_is_far_more():
    window = followed()
    with inside(window):
        window.looked_at(FIRST * 16)
        made = make(FIRST * 8 // 200)
        before = window.bytes_near_peak
        made += make(FIRST * 40 // 100)
    window.close()

    assert before == 0
    assert window.bytes_near_peak >= FIRST * 30


@pytest.mark.parametrize("bytes_", ["many", None, 2**80])
def test_what_the_caller_has_looked_at_is_a_number(bytes_):
    with pytest.raises((TypeError, OverflowError)):
        followed().looked_at(bytes_)


def test_a_window_that_is_not_followed_is_not_followed_by_a_look():
    window = compiled.Window()
    window.open()
    window.looked_at(1)
    with inside(window):
        make(20_000)
    window.close()

    assert window.near_peak is None


def test_a_closed_window_is_not_followed():
    window = compiled.Window()
    window.open()
    window.close()
    window.follow_peak(FIRST)

    assert window.near_peak is None


@pytest.mark.parametrize("limits", [(), ("many",), (1, 2, 3)])
def test_limits_are_numbers(limits):
    window = compiled.Window()
    window.open()

    with pytest.raises(TypeError):
        window.follow_peak(*limits)


def test_an_exception_that_is_handled_meanwhile_stays_as_it_is():
    window, raised = followed(), LookupError("of the program")
    with inside(window):
        try:
            raise raised
        except LookupError:
            made = make(20_000)
            handled = sys.exception()
    window.close()

    assert window.near_peak is not None
    assert handled is raised
    assert made


def test_a_window_that_is_dropped_with_what_was_found_is_freed():
    def drop():
        window = followed()
        with inside(window):
            make(2000)

    for _ in range(50):  # fills what CPython keeps: free lists
        drop()
    before = sys.getallocatedblocks()
    for _ in range(50):
        drop()

    assert sys.getallocatedblocks() - before < 50


def test_a_window_that_is_dropped_before_its_peak_is_looked_at_is_forgotten():
    for _ in range(50):
        window = followed()
        before = compiled.switch_window(window)
        made = [*map(Item, range(2000))]  # no safe point until the call is over
        compiled.switch_window(before)
        del window, made


def test_the_peak_of_another_thread_may_be_looked_at_while_that_runs():
    """Other threads make and drop windows all the time, and the main thread looks at them."""
    found = []

    def request():
        for _ in range(20):
            window = followed()
            with inside(window):
                make(5000)
            window.close()
            found.append(window.bytes_near_peak <= window.peak[1])
            window.analyse()

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sum(range(1000))

    assert found == [True] * 80


def test_windows_of_one_thread_are_followed_each_by_itself():
    windows = [followed() for _ in range(3)]
    kept = []
    for number, window in enumerate(windows, start=1):
        with inside(window):
            kept.append(make(4000 * number))
    for window in windows:
        window.close()

    for number, window in enumerate(windows, start=1):
        assert 2000 * number <= names(window.near_peak[0])[NAME] <= 4000 * number
