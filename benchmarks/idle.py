"""What the meter costs where no window is open: instructions, counted by valgrind.

    python benchmarks/idle.py

Runs one small program plain, with the engine imported, and after a window was opened and
forgotten, each under callgrind, twice as long and once: the difference of the two is without what
starting and importing take. Prints multiples of the plain program; asserts nothing. An
instruction is counted whatever else the machine does, so these numbers hardly change.
"""

from callgrind import instructions

PROGRAMS = {
    "plain": "",
    "engine imported": "from django_memsize.engine import compiled",
    "a window was open": (
        "from django_memsize.engine import compiled\n"
        "window = compiled.Window()\n"
        "window.open(); window.close(); window.discard()"
    ),
}

WORK = """
def work(times):
    for number in range(times):
        rows = [{"id": each, "name": "name %d" % each, "pair": (each, None)} for each in range(300)]
        sorted(rows, key=lambda row: row["name"])
"""


def main():
    """Count, and print."""
    plain = None
    for name, begin in PROGRAMS.items():
        source = begin + WORK
        taken = instructions("-c", source + "work(60)") - instructions("-c", source + "work(30)")
        plain = plain or taken
        print(f"{name:<20} {taken:>14,} instructions {taken / plain:>8.4f}")


if __name__ == "__main__":
    main()
