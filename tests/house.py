"""The house: which module may import which, as the one table that the tests and the drawing use.

A module is named by its path below the package. A package is its ``__init__``.
"""

LAYERS = (
    ("apps",),
    ("management", "commands"),
    ("admin", "screens"),
    ("middleware",),
    ("__init__", "tools"),
    ("models", "reports"),
    ("orm",),
    ("conf", "checks"),
    ("measuring",),
    ("process",),
    ("values",),
    ("formatting", "engine"),
    ("migrations",),
)
"""Packages and modules of the top level, the uppermost first. Arrows go down or stay in a layer."""

ARROWS = {
    "apps": "checks",
    "management.commands.memprofile": "commands commands.arguments commands.output conf",
    "management": "",
    "management.commands": "",
    "commands.run": (
        "commands commands.arguments commands.client commands.database commands.output "
        "commands.program commands.runs measuring.spans models reports.build "
        "reports.recordings reports.writer"
    ),
    "commands.client": (
        "checks commands.arguments commands.program commands.runs models reports.recordings"
    ),
    "commands.runs": "commands.database models reports.recordings",
    "commands.alternatives": (
        "commands commands.arguments commands.database commands.output commands.program "
        "screens.alternatives tools.alternatives values"
    ),
    "commands.routes": (
        "checks commands commands.database commands.output models screens.terminal"
    ),
    "commands.show": "commands commands.arguments commands.database commands.output",
    "commands.output": "formatting models screens.documents screens.terminal",
    "commands.database": "conf models reports.writer",
    "commands.program": "measuring.source_files",
    "commands": "",
    "commands.arguments": "",
    "admin": "conf formatting models screens.figures screens.pages",
    "screens.pages": (
        "formatting models reports.findings screens.evaluations screens.figure "
        "screens.figures screens.notes screens.phrases screens.tables values"
    ),
    "screens.terminal": (
        "formatting reports.findings screens.evaluations screens.figure screens.figures "
        "screens.notes screens.phrases screens.tables values"
    ),
    "screens.alternatives": "formatting reports.thresholds screens.figure screens.figures values",
    "screens.documents": (
        "formatting reports.findings reports.serialization screens.figures screens.notes "
        "screens.phrases values"
    ),
    "screens.evaluations": (
        "formatting reports.findings screens.figure screens.figures screens.phrases values"
    ),
    "screens.tables": ("formatting screens.figures screens.phrases values"),
    "screens.figures": ("formatting reports.thresholds screens.figure screens.phrases values"),
    "screens.notes": "formatting reports.thresholds screens.figure screens.phrases values",
    "screens.phrases": "formatting orm.methods reports.thresholds values",
    "screens.figure": "formatting values",
    "screens": "",
    "middleware": (
        "conf measuring.deferred measuring.errors measuring.in_flight measuring.overhead "
        "measuring.recording measuring.referrers measuring.spans reports.build "
        "reports.recordings values"
    ),
    "__init__": "engine measuring.recording tools.heap tools.measure values",
    "tools.measure": (
        "engine measuring.errors measuring.recording measuring.spans reports.recordings values"
    ),
    "tools.alternatives": "engine formatting measuring.instruments measuring.spans values",
    "tools.heap": "engine formatting values",
    "tools": "",
    "models": "reports.findings reports.serialization values",
    "reports.recordings": (
        "conf measuring.deferred measuring.errors measuring.in_flight measuring.overhead "
        "measuring.recording measuring.referrers measuring.spans models orm.patches "
        "process reports.build reports.outliers reports.writer values"
    ),
    "reports.build": (
        "conf formatting measuring.recording models reports.serialization reports.sql values"
    ),
    "reports.writer": "conf measuring.errors measuring.in_flight models process values",
    "reports.findings": "formatting reports.thresholds values",
    "reports.outliers": "values",
    "reports.serialization": "formatting values",
    "reports.sql": "values",
    "reports": "",
    "reports.thresholds": "",
    "orm.patches": "orm.cursors orm.evaluations orm.methods process",
    "orm.cursors": "measuring.errors measuring.evaluation_span measuring.spans",
    "orm.evaluations": (
        "engine measuring.errors measuring.evaluation_span measuring.source_files "
        "measuring.spans orm.call_sites orm.instances orm.methods values"
    ),
    "orm.call_sites": ("measuring.source_files orm.coroutines orm.methods orm.templates values"),
    "orm.instances": "orm.methods values",
    "orm.methods": "values",
    "orm": "",
    "orm.coroutines": "",
    "orm.templates": "",
    "conf": "",
    "checks": "conf engine",
    "measuring.evaluation_span": (
        "engine measuring.errors measuring.evaluation_log measuring.evaluation_totals "
        "measuring.instruments "
        "measuring.overhead measuring.spans values"
    ),
    "measuring.recording": (
        "engine measuring.evaluation_log measuring.in_flight measuring.instruments "
        "measuring.overhead measuring.referrers measuring.rss measuring.spans values"
    ),
    "measuring.evaluation_log": (
        "measuring.evaluation_totals measuring.instruments measuring.overhead values"
    ),
    "measuring.evaluation_totals": "measuring.instruments process values",
    "measuring.deferred": ("measuring.errors measuring.referrers measuring.spans process values"),
    "measuring.instruments": "engine measuring.referrers values",
    "measuring.referrers": "engine measuring.overhead values",
    "measuring.errors": "formatting measuring.source_files values",
    "measuring.in_flight": "process values",
    "measuring.overhead": "process values",
    "measuring.spans": "engine process values",
    "measuring": "",
    "measuring.rss": "",
    "measuring.source_files": "",
    "process": "",
    "values": (
        "values.evaluation values.ownership values.sized values.summary "
        "values.type_tables values.ways"
    ),
    "values.summary": "values.evaluation values.ownership values.type_tables",
    "values.evaluation": "values.ownership values.type_tables",
    "values.sized": "values.ownership",
    "values.type_tables": "formatting values.ownership",
    "values.ways": "values.ownership",
    "values.ownership": "",
    "formatting": "",
    "engine": "engine.fallback.census engine.fallback.meter engine.tree",
    "engine.fallback.census": (
        "engine.collector engine.fallback.roots engine.fallback.sizes engine.types"
    ),
    "engine.fallback.roots": "engine.types",
    "engine.fallback.sizes": "engine.types",
    "engine.tree": "engine.collector engine.types",
    "engine.collector": "",
    "engine.fallback": "",
    "engine.fallback.meter": "",
    "engine.types": "",
    "migrations": "",
    "migrations.0001_initial": "",
}
"""Module -> the modules that it imports. An arrow that is not drawn here is forbidden."""


def allowed():
    """Return module -> set of the modules that it may import."""
    return {module: set(imported.split()) for module, imported in ARROWS.items()}


def draw():
    """Return the house as text: a block a layer, and in it each module with its arrows."""
    lines = ["```text"]
    for layer in LAYERS:
        lines += ["", f"# {', '.join(layer)}"]
        for module, imported in allowed().items():
            if module.split(".")[0] in layer:
                arrows = f" -> {', '.join(sorted(imported))}" if imported else ""
                lines.append(f"{module}{arrows}")
    return "\n".join([*lines, "```"])


def draw_rooms():
    """Return the layers as text: a line a layer, the uppermost first."""
    return "\n".join(["```text", *(", ".join(layer) for layer in LAYERS), "```"])
