"""Put what the benchmarks found into a document, between the marks that say where.

    python benchmarks/table.py README.md results.json [results.json ...]

One column for each interpreter: of the heap our time, and the others' as a multiple of it; of the
meter what a request costs, as a multiple of the same without.
"""

import json
import sys
from pathlib import Path

MARKS = {
    "heap": ("<!-- benchmark: made by make bench -->\n", "<!-- end of benchmark -->"),
    "meter": (
        "<!-- benchmark of the meter: made by make bench -->\n",
        "<!-- end of benchmark of the meter -->",
    ),
}


def main():
    """Replace the tables in the document."""
    document, *files = map(Path, sys.argv[1:])
    results = [json.loads(file.read_text()) for file in files]
    text = document.read_text()
    for benchmark, (begin, end) in MARKS.items():
        found = [result for result in results if result["benchmark"] == benchmark]
        if found:
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(end)
            text = before + begin + table(found, COLUMNS[benchmark]) + end + after
    document.write_text(text)


def table(results, column):
    """Return a table in Markdown of what several interpreters found."""
    lines = ["| | " + " | ".join(f"Python {result['python']}" for result in results) + " |"]
    lines.append("|---" * (len(results) + 1) + "|")
    for title in results[0]["tables"]:
        if not all(title in result["tables"] for result in results):
            continue  # some left out the closing of windows
        found = [column(result["tables"][title]) for result in results]
        names = dict.fromkeys(name for times in found for name in times)
        lines.append(f"| **{title}** |" + " |" * len(results))
        lines += [
            f"| {name} | " + " | ".join(times.get(name, "-") for times in found) + " |"
            for name in names
        ]
    return "\n".join(lines) + "\n"


def compared(rows):
    """Return name -> our time, or how many times as long that tool took."""
    (first, ours, _), *others = rows
    times = {name: f"{seconds / ours:.1f} times" for name, seconds, _ in others}
    return {first: f"{ours * 1000:.1f} ms", **times}


def measured(rows):
    """Return name -> its figure in its unit."""
    forms = {"ms": "{:.1f} ms", "ns": "{:.0f} ns", "times": "{:.2f} times", "": "{:,.0f}"}
    forms["bytes"] = "{:,.0f} bytes"
    return {name: forms[unit].format(figure) for name, figure, unit in rows}


COLUMNS = {"heap": compared, "meter": measured}

if __name__ == "__main__":
    main()
