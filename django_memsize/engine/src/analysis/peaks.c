#include "analysis/peaks.h"

#include <time.h>

#include "analysis/analysis.h"
#include "meter/crediting.h"

/* The CPU time of this thread; of the process where there is no clock of a thread. */
static double
cpu_seconds(void)
{
#ifdef CLOCK_THREAD_CPUTIME_ID
    struct timespec now;
    if (!clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)) {
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    }
#endif
    return (double)clock() / CLOCKS_PER_SEC;
}

static void
add_seconds(followed_peak *followed, double seconds)
{
    followed->seconds += seconds;
    if (PyThread_get_thread_ident() == followed->thread) {
        followed->seconds_of_thread += seconds;
    }
}

/* Keep tables if they are those of the highest moment so far: a peak may be over when it is looked
   at. There may be a reason instead of tables, or NULL with an exception. */
static void
keep_tables(followed_peak *followed, PyObject *tables, Py_ssize_t bytes)
{
    if (!tables || !PyTuple_CheckExact(tables) || bytes <= followed->bytes) {
        Py_XDECREF(tables);
        PyErr_Clear();
        return;
    }
    PyObject *before = followed->tables;
    followed->tables = tables;
    followed->bytes = bytes;
    followed->next_bytes = Py_MAX(followed->next_bytes, crediting_next_peak(bytes));
    Py_XDECREF(before);
}

/* Look at what a window has alive now. Other threads may run meanwhile, and discard it: therefore
   its handle is held. */
static void
look_at(window *noted)
{
    followed_peak *followed = &noted->followed;
    PyObject *handle = Py_NewRef(followed->handle);
    double began = cpu_seconds();
    crediting_flush_totals();
    window_total alive = noted->alive;
    bool is_small = !followed->most_blocks || alive.blocks <= followed->most_blocks;
    if (is_small && alive.bytes > followed->bytes) {
        PyObject *tables = analysis_alive(noted);
        crediting_flush_totals();
        /* What was freed meanwhile is in no table; nor is anything if all was discarded. */
        keep_tables(followed, tables, Py_MIN(alive.bytes, noted->alive.bytes));
        crediting_flush_totals(); /* the current window is told what is followed next */
    }
    add_seconds(followed, cpu_seconds() - began);
    Py_DECREF(handle);
}

static window *
first_noted(void)
{
    window *each = windows_latest_outermost();
    while (each && !each->followed.is_noted) {
        each = each->older;
    }
    return each;
}

/* The pending call. It never fails: that would raise an exception in the program. */
static int
look_at_noted(void *Py_UNUSED(unused))
{
    window *noted;
    crediting.is_peak_pending = false;
    while ((noted = first_noted())) {
        noted->followed.is_noted = false;
        if (noted->followed.handle && noted->is_open) {
            look_at(noted);
        }
    }
    return 0;
}

void
peaks_prepare(void)
{
    crediting.on_peak = look_at_noted;
    crediting.is_peak_pending = false; /* whatever an interpreter that ended had still to call */
}

void
peaks_follow(window *followed, PyObject *handle, Py_ssize_t first_bytes, Py_ssize_t most_blocks)
{
    if (followed->is_open && !followed->parent) {
        followed->followed.handle = handle;
        followed->followed.next_bytes = first_bytes;
        followed->followed.most_blocks = most_blocks;
        followed->followed.thread = PyThread_get_thread_ident();
        crediting_flush_totals();
    }
}

void
peaks_looked_at(window *followed, Py_ssize_t bytes)
{
    followed_peak *peak = &followed->followed;
    if (peak->next_bytes < PY_SSIZE_T_MAX) {
        peak->next_bytes = Py_MAX(peak->next_bytes, crediting_next_peak(bytes));
        crediting_flush_totals();
    }
}

void
peaks_forget(window *followed)
{
    PyObject *tables = followed->followed.tables;
    followed->followed = (followed_peak){.next_bytes = PY_SSIZE_T_MAX};
    Py_XDECREF(tables);
}
