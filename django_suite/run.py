"""Django's own tests, twice: as they are, and with a metered recording around every one.

    python django_suite/run.py [--part orm] [--django 5.2.19] [LABEL ...]

The tests are those of the source release, on SQLite. Prints the counts of both runs and each test
whose outcome differs. The exit status is 1 if an outcome differs, if django-memsize swallowed a
fault of its own, or if nothing was recorded.
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
SCRATCH = HERE.parent / ".django-suite"

PARTS = {
    "all": [],
    "orm": [
        *("aggregation", "async", "composite_pk", "defer", "delete", "generic_relations"),
        *("get_or_create", "known_related_objects", "model_inheritance", "prefetch_related"),
        *("queries", "raw_query", "select_related"),
    ],
}

# Packages that Django's tests use, without those that need a server, a browser or a compiler.
BESIDE_DJANGO = [
    *("aiosmtpd", "argon2-cffi", "bcrypt", "docutils", "geoip2", "jinja2", "numpy", "Pillow"),
    *("psutil", "PyYAML", "setuptools", "tblib", "tzdata"),
]


def main():
    """Run both, compare, and print the differences."""
    options = parse(sys.argv[1:])
    tests, python = prepared(options.django)
    labels = PARTS[options.part] + options.labels
    plain = outcomes(python, tests, "plain", labels)
    recorded = outcomes(python, tests, "recorded", labels)
    print(f"\nDjango {options.django}, Python {sys.version.split()[0]}, SQLite")
    print("without a recording:    ", counted(plain))
    print("a recording around each:", counted(recorded))
    differing = differences(plain["outcomes"], recorded["outcomes"])
    for test, before, after in differing:
        print(f"differs: {test}: {before or 'not run'}; recorded: {after or 'not run'}")
    sums = summed(scratch("recorded.lines"))
    print(
        "{recordings:,} recordings, {unmetered} of them not metered, {incomplete} incomplete; "
        "{evaluations:,} evaluations, {rows:,} rows; {faults} faults".format(**sums)
    )
    good = not differing and not sums["faults"] and sums["evaluations"]
    print("The same tests pass." if good else "Not the same.")
    sys.exit(0 if good else 1)


def parse(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, default="all")
    parser.add_argument("--django", default="5.2.19", help="the version, as on PyPI")
    parser.add_argument("labels", nargs="*", help="labels for Django's runtests.py")
    return parser.parse_args(arguments)


def scratch(name):
    """Return the path of a file of this run."""
    return SCRATCH / name


def prepared(version):
    """Return the folder of the tests, and a Python with the packages that they need."""
    source, venv = SCRATCH / f"django-{version}", SCRATCH / f"venv-{version}"
    python = venv / "bin" / "python"
    done = venv / "done"
    if not done.exists():
        shutil.rmtree(source, ignore_errors=True)
        run(sys.executable, "-m", "venv", "--clear", venv)
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        run(*pip, "install", *BESIDE_DJANGO)
        run(
            *(*pip, "download", "--no-deps", "--no-binary", ":all:"),
            *("--dest", SCRATCH, f"django=={version}"),
        )
        with tarfile.open(SCRATCH / f"django-{version}.tar.gz") as release:
            release.extractall(SCRATCH, filter="data")
        run(*pip, "install", "--editable", source)
        done.touch()
    return source / "tests", python


def outcomes(python, tests, settings, labels):
    """Run Django's tests, and return the outcome of each."""
    found = scratch(f"{settings}.json")
    found.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(path()),
        "DJANGO_SUITE_OUTCOMES": str(found),
        "DJANGO_SUITE_RECORDINGS": str(scratch("recorded.lines")),
    }
    print(f"\n== Django's tests, {settings}", flush=True)
    # Some tests fail either way: failures are compared.
    command = [python, "runtests.py", "--settings", f"django_suite.{settings}", *labels]
    subprocess.run(command, cwd=tests, env=environment, check=False)
    if not found.exists():
        sys.exit("The tests did not come to an end.")
    return json.loads(found.read_text())


def path():
    """Return a folder from which only django_memsize and django_suite can be imported."""
    folder = scratch("path")
    folder.mkdir(exist_ok=True)
    for package in ("django_memsize", "django_suite"):
        link = folder / package
        if not link.is_symlink():
            link.symlink_to(HERE.parent / package)
    return folder


def run(*command):
    """Run a command that must not fail."""
    subprocess.run(command, check=True)


def counted(found):
    """Return the counts of a run, as text."""
    counts = collections.Counter(outcome for _, outcome in found["outcomes"])
    kinds = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(counts.items()))
    return f"{found['run']:,} run: {kinds}"


def differences(plain, recorded):
    """Yield each test with its outcomes where they are not the same in both runs."""
    before, after = by_test(plain), by_test(recorded)
    return [
        (test, ", ".join(before[test]), ", ".join(after[test]))
        for test in sorted({*before, *after})
        if before[test] != after[test]
    ]


def by_test(outcomes):
    """Return the outcomes by test: some tests run more than once, and subtests have their own."""
    found = collections.defaultdict(list)
    for test, outcome in sorted(outcomes):
        found[test].append(outcome)
    return found


def summed(lines):
    """Return the sums over all recordings."""
    recordings = [json.loads(line) for line in lines.read_text().splitlines()]
    faults = collections.Counter()
    for each in recordings:
        faults[each["process"]] = max(faults[each["process"]], each["faults"])
    return {
        "recordings": len(recordings),
        "unmetered": sum(not each["metered"] for each in recordings),
        "incomplete": sum(each["incomplete"] for each in recordings),
        "evaluations": sum(each["evaluations"] for each in recordings),
        "rows": sum(each["rows"] for each in recordings),
        "faults": faults.total(),
    }


if __name__ == "__main__":
    main()
