"""Which tests take long, and run only where ``MEMSIZE_LONG`` is set, as in ``.ci/run``.

``MEMSIZE_LONG=writing`` runs those of processes that write reports, ``MEMSIZE_LONG=engine`` those
of the engine as well, ``MEMSIZE_LONG=some`` runs them all, and ``MEMSIZE_LONG=1`` runs some of them
at full length besides.
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
    "test_engine_parity.py::test_a_whole_process_is_the_same_but_for_what_python_cannot_reach",
    "test_engine_running.py::test_a_thread_that_is_building_a_tuple_is_not_disturbed",
    "test_engine_running.py::test_an_object_whose_last_reference_goes_during_a_walk_in_python",
    "test_engine_running.py::test_thousands_of_measurements_leave_nothing_behind",
    "test_engine_safety.py",
    "test_example.py",
    "test_faults.py::test_every_function_fails_on_some_page_or_has_a_reason",
    "test_faults.py::test_whatever_fails_a_request_is_answered_as_without_memsize[census",
    "test_faults.py::test_whatever_fails_a_request_is_answered_as_without_memsize[meter-async]",
    "test_meter_exact.py::test_a_window_tells_what_tracemalloc_tells[instances]",
    "test_meter_hooks.py",
    "test_meter_reachability.py::test_what_is_retained_is_what_the_collector_leaves",
    "test_meter_external.py",
    "test_meter_windows.py::test_any_program_gives_the_figures_of_a_simple_model",
    "test_middleware.py::test_a_request_is_stored_with_each_type_it_loaded_counted_exactly[census",
    "test_middleware.py::test_nothing_piles_up",
    "test_reports_serialization.py::test_no_document_raises",
    "test_secrets.py::test_no_secret_of_a_request_is_stored[census",
    "test_requests_metered.py::test_a_page_that_leaks_nothing_retains_nothing",
    "test_signals.py",
    "test_tools_alternatives.py::test_a_stream_retains_nothing_and_has_a_lower_peak",
    "test_tools_measure.py::test_a_time_limit_that_strikes_while_memsize_works_reaches_the_program[c",
    "test_writing.py",
)
"""Files below ``tests/``, or beginnings of the names of tests in them."""

_SOME = {
    "writing": ("test_writing.py",),
    "engine": ("test_writing.py", "test_engine_", "test_meter_"),
}
"""By the value of ``MEMSIZE_LONG``, the files of which the tests run that take long."""

_ASKED_FOR = os.environ.get("MEMSIZE_LONG")

IS_ASKED_FOR = bool(_ASKED_FOR)
"""Whether any of them run."""


def is_long(nodeid):
    """Return whether a test of this pytest name takes long."""
    return _without_folder(nodeid).startswith(LONG)


def is_skipped(nodeid):
    """Return whether a test of this pytest name takes long, and nobody asked for it."""
    if _ASKED_FOR in _SOME:
        return is_long(nodeid) and not _without_folder(nodeid).startswith(_SOME[_ASKED_FOR])
    return is_long(nodeid) and not _ASKED_FOR


def _without_folder(nodeid):
    file, separator, name = nodeid.partition("::")  # the name of a test may have slashes, too
    return file.rpartition("/")[2] + separator + name
