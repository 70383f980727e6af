/* The extension module django_memsize.engine.compiled. */
#include "census/anatomy.h"
#include "census/census.h"
#include "census/names.h"
#include "census/roots.h"
#include "census/sizes.h"
#include "census/sizing.h"
#include "meter/stream.h"
#include "metering.h"
#include "window.h"

/* -1 with an exception. */
static int
prepare_census(PyObject *module)
{
    if (names_prepare() < 0 || anatomy_prepare() < 0 || sizes_prepare() < 0 || roots_prepare() < 0)
    {
        return -1;
    }
    int are_proven = cpython_prove_values();
    if (are_proven < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "counts_instance_values", are_proven ? Py_True : Py_False);
}

static int
module_exec(PyObject *module)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "a walk covers the main interpreter only");
        return -1;
    }
    if (prepare_census(module) < 0 || census_add_to(module) < 0 || sizing_add_to(module) < 0
        || window_add_to(module) < 0 || metering_add_to(module) < 0 || stream_add_to(module) < 0)
    {
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "django_memsize.engine.compiled",
    .m_doc = PyDoc_STR("The engine in C: the census and the meter."),
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit_compiled(void)
{
    return PyModuleDef_Init(&module_definition);
}
