"""Put what the benchmarks found into a document, between the marks that say where.

    python benchmarks/table.py README.md results.json [results.json ...]

One column for each interpreter: our time, and the others' as a multiple of it.
"""

import json
import sys
from pathlib import Path

BEGIN, END = "<!-- benchmark: made by make bench -->\n", "<!-- end of benchmark -->"


def main():
    """Replace the table in the document."""
    document, *files = map(Path, sys.argv[1:])
    results = [json.loads(file.read_text()) for file in files]
    before, _, rest = document.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(before + BEGIN + table(results) + END + after)


def table(results):
    """Return a table in Markdown of what several interpreters found."""
    lines = ["| | " + " | ".join(f"Python {result['python']}" for result in results) + " |"]
    lines.append("|---" * (len(results) + 1) + "|")
    for title, rows in results[0]["tables"].items():
        found = [column(result["tables"][title]) for result in results]
        lines.append(f"| **{title}** |" + " |" * len(results))
        lines += [
            f"| {name} | " + " | ".join(times.get(name, "-") for times in found) + " |"
            for name, _, _ in rows
        ]
    return "\n".join(lines) + "\n"


def column(rows):
    """Return name -> our time, or how many times as long that tool took."""
    (first, ours, _), *others = rows
    times = {name: f"{seconds / ours:.1f} times" for name, seconds, _ in others}
    return {first: f"{ours * 1000:.1f} ms", **times}


if __name__ == "__main__":
    main()
