"""A report as a JSON document for other programs: ``memprofile --format json``. Public."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, get_type_hints

from ..formatting import markdown_table
from ..reports import serialization
from ..reports.findings import Finding, findings
from ..values import Summary
from .figures import FIGURES, filled
from .notes import notes
from .phrases import sentence

if TYPE_CHECKING:
    from ..models import Report

_ADDED: Final = {
    "id": ("int or null", "the number of the report; null if it is not stored"),
    "sentence": ("str", "the report in one sentence"),
    "findings": (
        "[finding]",
        (
            "`name` (`leak`, `replaced`, `cache`, `leak-or-cache`, `bloat`, `n-plus-one`), "
            "`sentence`, `evaluation`, an index into `evaluations` or null for the whole request, "
            "and `compared`, the ids of the reports compared"
        ),
    ),
    "notes": ("[str]", "what to know about the figures of this report"),
}
"""The keys that a document has beside those of its summary: type, meaning."""


def document_of(report: Report) -> dict[str, Any]:
    """Return a report's figures under the names of :class:`Summary`, with findings and notes."""
    summary = report.summary()
    judged = findings(summary, report.retained_by_others())
    return {
        "id": report.pk,
        "sentence": sentence(summary),
        "findings": [
            *(_finding(each, None) for each in judged.request),
            *(
                _finding(each, index)
                for index, found in enumerate(judged.evaluations)
                for each in found
            ),
        ],
        "notes": notes(summary),
        **serialization.to_document(summary),
    }


def _finding(finding: Finding, evaluation: int | None) -> dict[str, Any]:
    return {"evaluation": evaluation, **dataclasses.asdict(finding)}


def readme_table() -> str:
    """Return the keys of a document as a table in Markdown."""
    meanings = {figure.value: figure.meaning for figure in FIGURES if isinstance(figure.value, str)}
    hints = get_type_hints(Summary)
    rows = [(f"`{name}`", f"`{kind}`", meaning) for name, (kind, meaning) in _ADDED.items()]
    for field in dataclasses.fields(Summary):
        meaning = field.metadata.get("meaning") or meanings[field.name]
        rows.append((f"`{field.name}`", f"`{_name_of(hints[field.name])}`", filled(meaning)))
    return markdown_table(("key", "type", "meaning"), rows)


def _name_of(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) else str(hint)
    text = text.replace("django_memsize.values.", "").replace("tuple[", "[").replace(", ...", "")
    text = text.replace(" | None", " or null")
    for module in ("type_tables.", "evaluation.", "survival."):
        text = text.replace(module, "")
    return text
