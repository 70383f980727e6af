"""The house: which module may import which, as the one table that the tests and the drawing use.

A module is named by its path below the package. A package is its ``__init__``.
"""

LAYERS = (
    ("apps",),
    ("management", "commands"),
    ("admin", "screens"),
    ("middleware",),
    ("__init__", "tools"),
    ("checks", "migrations"),
    ("models", "reports"),
    ("workers",),
    ("orm",),
    ("conf",),
    ("measuring",),
    ("process",),
    ("values",),
    ("formatting", "engine"),
)
"""Packages and modules of the top level, the uppermost first. Arrows go down or stay in a layer."""

ARROWS = {
    "apps": "checks",
    "management.commands.memprofile": (
        "commands commands.arguments commands.output commands.routes conf"
    ),
    "management": "",
    "management.commands": "",
    "commands.run": (
        "commands commands.arguments commands.client commands.database commands.output "
        "commands.program commands.runs measuring.spans models reports.build "
        "reports.recordings reports.writer workers.tally"
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
        "checks commands commands.arguments commands.database commands.output formatting "
        "measuring.routes models reports.database reports.impact reports.overview screens.impact "
        "values.impact"
    ),
    "commands.traffic": (
        "commands commands.arguments commands.database commands.output reports.database "
        "reports.rollup_merging reports.rollup_storage screens.traffic"
    ),
    "commands.status": (
        "checks commands commands.database commands.output conf engine measuring.sampling models "
        "reports.database reports.drops screens.status values workers.state_file workers.tally "
        "workers.worker"
    ),
    "commands.token": "commands commands.arguments commands.output measuring.tokens",
    "commands.prune": (
        "commands commands.database commands.output formatting reports.database "
        "reports.retention reports.rollup_merging"
    ),
    "commands.show": (
        "commands commands.arguments commands.database commands.output reports.database"
    ),
    "commands.output": "formatting models screens.documents screens.terminal",
    "commands.database": (
        "conf formatting models reports.connection reports.database reports.drops "
        "reports.rollup_storage"
    ),
    "commands.program": "measuring.source_files",
    "commands": "",
    "commands.arguments": "",
    "admin": (
        "formatting models reports.database reports.harms screens.figures screens.filters "
        "screens.pages"
    ),
    "screens.pages": (
        "formatting models reports.findings screens.evaluations screens.figure "
        "screens.figures screens.notes screens.phrases screens.tables values"
    ),
    "screens.terminal": (
        "formatting reports.compared reports.findings screens.evaluations screens.figure "
        "screens.figures screens.notes screens.phrases screens.tables values"
    ),
    "screens.impact": (
        "formatting reports.impact reports.thresholds screens.figure "
        "screens.figures screens.phrases values values.impact values.rollup"
    ),
    "screens.status": (
        "formatting measuring.sampling screens.phrases values workers.state_file workers.tally"
    ),
    "screens.traffic": (
        "formatting screens.figure screens.figures values values.histogram values.rollup"
    ),
    "screens.alternatives": "formatting reports.thresholds screens.figure screens.figures values",
    "screens.documents": (
        "formatting reports.findings reports.serialization screens.figures screens.notes "
        "screens.phrases values"
    ),
    "screens.evaluations": (
        "formatting reports.compared reports.findings screens.figure screens.figures "
        "screens.phrases values"
    ),
    "screens.filters": "screens.figures",
    "screens.tables": "formatting reports.thresholds screens.figures screens.phrases values",
    "screens.figures": ("formatting reports.thresholds screens.figure screens.phrases values"),
    "screens.notes": "formatting reports.thresholds screens.figure screens.phrases values",
    "screens.phrases": "formatting orm.methods reports.thresholds values",
    "screens.figure": "formatting values",
    "screens": "",
    "middleware": (
        "conf measuring.arrivals measuring.deferred measuring.errors measuring.in_flight "
        "measuring.instruments measuring.overhead measuring.recording measuring.routes "
        "measuring.sampling measuring.spans measuring.streams reports.build reports.recordings "
        "reports.requests values"
    ),
    "__init__": "engine measuring.recording tools.heap tools.measure values",
    "tools.measure": (
        "engine measuring.errors measuring.recording measuring.spans reports.recordings values"
    ),
    "tools.alternatives": "engine formatting measuring.instruments measuring.spans values",
    "tools.heap": "engine formatting values",
    "tools": "",
    "models": ("reports.compared reports.database reports.findings reports.serialization values"),
    "reports.recordings": (
        "conf measuring.deferred measuring.errors measuring.in_flight measuring.instruments "
        "measuring.overhead measuring.recording measuring.spans models orm.patches process "
        "reports.build reports.drops reports.fates reports.following reports.immediate "
        "reports.outliers reports.rollups reports.thresholds reports.writer values "
        "workers.tally"
    ),
    "reports.build": (
        "conf measuring.overhead measuring.recording measuring.routes models process "
        "reports.serialization reports.sql reports.view_names values"
    ),
    "reports.requests": (
        "measuring.errors measuring.routes measuring.sampling measuring.shapes reports.build "
        "reports.route_names reports.view_names"
    ),
    "reports.route_names": (
        "conf engine.types formatting measuring.callables measuring.spans process values"
    ),
    "reports.view_names": "engine.types formatting measuring.source_files values",
    "reports.writer": (
        "conf measuring.deferred measuring.errors models process reports.database reports.drops "
        "reports.immediate reports.queue reports.rollup_writer reports.rollups "
        "reports.writer_thread workers.tally workers.worker"
    ),
    "reports.writer_thread": (
        "formatting measuring.errors reports.connection reports.database reports.drops "
        "measuring.spans reports.queue reports.retention reports.rollup_storage "
        "reports.rollup_writer reports.storage reports.untraced values workers.tally "
        "workers.worker"
    ),
    "reports.immediate": (
        "measuring.errors models reports.connection reports.database reports.drops "
        "reports.retention reports.storage values workers.tally"
    ),
    "reports.rollup_writer": (
        "measuring.errors reports.drops reports.following reports.rollup_merging "
        "reports.rollup_storage reports.rollups reports.storage values"
    ),
    "reports.rollup_merging": (
        "conf models process reports.chunks reports.connection values values.rollup"
    ),
    "reports.rollup_storage": (
        "models reports.connection reports.rollup_periods reports.rollups values values.rollup"
    ),
    "reports.rollup_periods": "values values.rollup",
    "reports.overview": (
        "models reports.build reports.rollup_merging reports.rollup_storage values values.impact "
        "values.rollup"
    ),
    "reports.impact": "reports.harms reports.thresholds values values.impact values.rollup",
    "reports.harms": "reports.thresholds values values.impact values.rollup",
    "reports.rollups": (
        "conf formatting measuring.collector measuring.in_flight measuring.recording "
        "measuring.rss process reports.rollup_periods values values.rollup"
    ),
    "reports.drops": ("formatting measuring.errors process reports.database values workers.tally"),
    "reports.storage": "models reports.connection reports.serialization workers.tally",
    "reports.queue": "models reports.serialization values",
    "reports.connection": "values",
    "reports.database": "conf formatting",
    "reports.chunks": "",
    "reports.retention": (
        "conf models process reports.chunks reports.connection reports.exemplars values"
    ),
    "reports.exemplars": "models",
    "reports.findings": (
        "formatting reports.compared reports.drivers reports.fates reports.leaks "
        "reports.n_plus_one reports.own_sizes reports.thresholds values"
    ),
    "reports.own_sizes": "values",
    "reports.compared": "values",
    "reports.leaks": "formatting reports.fates reports.thresholds values",
    "reports.fates": "formatting reports.thresholds values",
    "reports.following": (
        "measuring.errors measuring.instruments measuring.recording measuring.survivors "
        "reports.fates reports.rollups values"
    ),
    "reports.drivers": "reports.sql",
    "reports.outliers": "measuring.routes values",
    "reports.serialization": "formatting values",
    "reports.sql": "reports.sql_names values",
    "reports.sql_names": "process values",
    "reports": "",
    "reports.n_plus_one": "reports.thresholds values",
    "reports.thresholds": "measuring.survivors values",
    "reports.untraced": "",
    "workers.worker": (
        "conf engine measuring.overhead measuring.sampling process values workers.state_file "
        "workers.tally"
    ),
    "workers.state_file": "formatting measuring.sampling values workers.tally",
    "workers.tally": "process values",
    "workers": "",
    "orm.patches": "orm.cursors orm.evaluations orm.methods process",
    "orm.cursors": "measuring.errors measuring.evaluation_span measuring.spans values",
    "orm.evaluations": (
        "engine measuring.errors measuring.evaluation_span measuring.evaluation_totals "
        "measuring.source_files measuring.spans orm.call_sites orm.instances orm.methods "
        "orm.relations values"
    ),
    "orm.call_sites": "measuring.source_files orm.coroutines orm.roles orm.templates values",
    "orm.roles": "conf measuring.source_files orm.coroutines orm.methods orm.templates values",
    "orm.instances": "orm.methods values",
    "orm.relations": "orm.methods values",
    "orm.methods": "values",
    "orm": "",
    "orm.coroutines": "",
    "orm.templates": "values",
    "conf": "values.setting values.validation",
    "checks": "conf formatting measuring.instruments reports.database",
    "measuring.evaluation_span": (
        "engine measuring.errors measuring.evaluation_log measuring.evaluation_totals "
        "measuring.instruments "
        "measuring.overhead measuring.spans values"
    ),
    "measuring.recording": (
        "engine measuring.collector measuring.evaluation_log measuring.in_flight "
        "measuring.instruments measuring.near_peak measuring.overhead measuring.rss "
        "measuring.spans values"
    ),
    "measuring.collector": "",
    "measuring.walks": "engine process values",
    "measuring.evaluation_log": (
        "measuring.evaluation_totals measuring.instruments measuring.near_peak "
        "measuring.overhead values"
    ),
    "measuring.evaluation_totals": "measuring.instruments process values",
    "measuring.deferred": ("measuring.errors measuring.instruments measuring.spans process values"),
    "measuring.arrivals": "measuring.errors measuring.spans process values",
    "measuring.instruments": "engine measuring.near_peak measuring.walks values",
    "measuring.near_peak": "values",
    "measuring.errors": "formatting measuring.source_files values",
    "measuring.in_flight": "process values",
    "measuring.callables": "measuring.errors values",
    "measuring.sampling": (
        "measuring.callables measuring.overhead measuring.routes measuring.shapes measuring.tokens "
        "process values"
    ),
    "measuring.routes": "formatting values",
    "measuring.survivors": "measuring.instruments process values",
    "measuring.shapes": "values",
    "measuring.tokens": "",
    "measuring.overhead": "process values",
    "measuring.spans": "engine process values",
    "measuring.streams": "measuring.errors measuring.spans",
    "measuring": "",
    "measuring.rss": "measuring.errors process values",
    "measuring.source_files": "",
    "process": "",
    "values": (
        "values.evaluation values.histogram values.ownership values.rollup values.sized "
        "values.summary values.survival values.type_tables values.ways"
    ),
    "values.histogram": "values.ownership",
    "values.impact": "values.rollup",
    "values.rollup": "values.histogram values.ownership",
    "values.summary": "values.evaluation values.ownership values.survival values.type_tables",
    "values.survival": "values.ownership values.type_tables",
    "values.evaluation": "values.ownership values.type_tables",
    "values.sized": "values.ownership",
    "values.type_tables": "formatting values.ownership",
    "values.ways": "values.ownership",
    "values.ownership": "",
    "values.setting": "",
    "values.validation": "",
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
    "migrations.0001_initial": "reports.serialization",
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
