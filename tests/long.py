"""Which tests take long, and run only where ``MEMSIZE_LONG`` is set, as in ``.ci/run``.

``MEMSIZE_LONG=engine`` runs those of the engine, ``MEMSIZE_LONG=some`` runs them all, and
``MEMSIZE_LONG=1`` runs some of them at full length besides.
"""

import os

LONG = (
    "test_asgi.py::test_an_asynchronous_evaluation_has_each_type_counted_exactly",
    "test_asgi.py::test_an_asynchronous_request_is_stored_with_the_rows_it_loaded[census",
    "test_commands_alternatives.py::test_a_failure_ends_with_exit_code_one_and_success_with_none",
    "test_commands_output.py::test_a_closed_pipe_ends_the_command_silently[words",
    "test_engine_exact.py",
    "test_engine_memory.py",
    "test_engine_model.py",
    "test_engine_parity.py::test_a_django_process_is_as_complete_as_guppy_sees_it",
    "test_engine_parity.py::test_what_is_added_to_the_heap_is_the_same",
    "test_engine_safety.py",
    "test_example.py",
    "test_faults.py::test_whatever_fails_a_request_is_answered_as_without_memsize[census",
    "test_faults.py::test_whatever_fails_a_request_is_answered_as_without_memsize[meter-async]",
    "test_meter_exact.py::test_a_window_tells_what_tracemalloc_tells[instances]",
    "test_meter_hooks.py",
    "test_meter_reachability.py::test_what_is_retained_is_what_the_collector_leaves",
    "test_meter_referrers.py",
    "test_meter_windows.py::test_any_program_gives_the_figures_of_a_simple_model",
    "test_middleware.py::test_a_request_is_stored_with_each_type_it_loaded_counted_exactly[census",
    "test_middleware.py::test_nothing_piles_up",
    "test_reports_serialization.py::test_no_document_raises",
    "test_requests_metered.py::test_a_page_that_leaks_nothing_retains_nothing",
    "test_tools_alternatives.py::test_a_stream_retains_nothing_and_has_a_lower_peak",
    "test_tools_measure.py::test_a_time_limit_that_strikes_while_memsize_works_reaches_the_program[c",
)
"""Files below ``tests/``, or beginnings of the names of tests in them."""

_ENGINE = ("test_engine_", "test_meter_")

_ASKED_FOR = os.environ.get("MEMSIZE_LONG")


def is_long(nodeid):
    """Return whether a test of this pytest name takes long."""
    return _without_folder(nodeid).startswith(LONG)


def is_skipped(nodeid):
    """Return whether a test of this pytest name takes long, and nobody asked for it."""
    if _ASKED_FOR == "engine":
        return is_long(nodeid) and not _without_folder(nodeid).startswith(_ENGINE)
    return is_long(nodeid) and not _ASKED_FOR


def _without_folder(nodeid):
    file, separator, name = nodeid.partition("::")  # the name of a test may have slashes, too
    return file.rpartition("/")[2] + separator + name
