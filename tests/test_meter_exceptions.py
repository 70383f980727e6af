"""Exceptions that are pending while a block is allocated: the hooks leave them alone."""

import contextvars
import importlib.util
import os
import shutil
import subprocess
import sysconfig

import pytest

from tests.serving import missing

pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.windows import metered

SOURCE = """
#include <Python.h>

enum { NUMBER = 50, BYTES = 64 };

/* Allocate, resize and free blocks while an exception is pending, as a C extension may. Each time
   in a context that was entered since the last time, so that the window is looked up. */
static PyObject *
allocate(PyObject *module, PyObject *context)
{
    (void)module;
    PyErr_SetString(PyExc_LookupError, "pending");
    for (int number = 0; number < NUMBER; number++) {
        PyContext_Enter(context);
        void *block = PyObject_Malloc(BYTES);
        PyContext_Exit(context);
        PyContext_Enter(context);
        block = PyObject_Realloc(block, 2 * BYTES);
        PyContext_Exit(context);
        PyContext_Enter(context);
        PyObject_Free(block);
        PyContext_Exit(context);
        PyContext_Enter(context);
        PyObject_Free(PyObject_Calloc(1, BYTES));
        PyContext_Exit(context);
    }
    return PyErr_Occurred() ? NULL : PyUnicode_FromString("the exception is gone");
}

static PyMethodDef methods[] = {{"allocate", allocate, METH_O, NULL}, {0}};
static struct PyModuleDef pending = {
    PyModuleDef_HEAD_INIT, "pending", NULL, 0, methods, 0, 0, 0, 0
};

PyMODINIT_FUNC
PyInit_pending(void)
{
    return PyModule_Create(&pending);
}
"""
BLOCKS = 100
"""What a call allocates."""


@pytest.fixture(scope="module")
def allocate(tmp_path_factory):
    """Return a function in C that raises LookupError, and allocates before it returns."""
    compiler = shutil.which("cc")
    if compiler is None:
        missing("a compiler")
    folder = tmp_path_factory.mktemp("pending")
    file = folder / f"pending{sysconfig.get_config_var('EXT_SUFFIX')}"
    (folder / "pending.c").write_text(SOURCE)
    subprocess.run(
        [
            *(compiler, "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"),
            *(str(folder / "pending.c"), "-o", str(file)),
        ],
        check=True,
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
    )
    spec = importlib.util.spec_from_file_location("pending", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.allocate


def raised_by(allocate, context):
    try:
        return allocate(context)
    except LookupError as error:
        return error.args


@pytest.mark.parametrize("has_window", [True, False])
def test_an_exception_is_still_pending_after_the_window_was_looked_up(allocate, has_window):
    with metered() as window:
        context = contextvars.copy_context() if has_window else contextvars.Context()
        before = window.allocated[0]
        raised = raised_by(allocate, context)
        allocated = window.allocated[0] - before

    assert raised == ("pending",)
    assert (allocated >= BLOCKS) is has_window  # so it was looked up
