"""The documents: their generated sections, and what README.md tells people to put into settings."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from django_memsize import conf

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks up its annotations
    spec.loader.exec_module(module)
    return module


def test_every_generated_section_is_up_to_date():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")


def text_of_documents(generate):
    documents = [path for pattern in generate.DOCUMENTS for path in ROOT.glob(pattern)]
    return "".join(path.read_text() for path in documents)


def test_every_section_stands_in_a_document(generate):
    text = text_of_documents(generate)

    names = [*generate.SECTIONS, *generate.RECORDED]
    assert [name for name in names if f"<!-- begin: {name} -->\n" not in text] == []


def test_every_recorded_section_has_been_recorded(generate):
    text = text_of_documents(generate)

    for name, recorded in generate.RECORDED.items():
        begins = f"<!-- begin: {name} -->\n```\n$ python manage.py memprofile {recorded.words[0]} "
        assert begins in text, "python docs/generate.py --record"


def test_a_recorded_section_is_the_command_and_the_paragraphs_asked_for(generate):
    recorded = generate.Recorded(("run", "/x/"), (1, 2))

    text = recorded.text({("run", "/x/"): "one\n\ntwo\n\nthree\nmore\n\nfour\n"})

    assert text == ("```\n$ python manage.py memprofile run /x/\ntwo\n\nthree\nmore\n```")


def test_a_recorded_section_is_left_as_it_is_until_recorded_again(generate):
    text = "<!-- begin: leak -->\nold\n<!-- end: leak -->\n"

    assert generate.generated(text) == text


def test_a_stale_section_is_made_anew_and_the_text_around_it_stays(generate):
    stale = "above\n<!-- begin: settings -->\nold\n<!-- end: settings -->\nbelow\n"

    lines = generate.generated(stale).splitlines()

    assert (lines[0], lines[-1]) == ("above", "below")
    assert len(lines) == 2 + 2 + 2 + len(conf.declared())
    assert not any(line == "old" for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- begin: settings -->\n", "without its partner"),
        ("<!-- end: settings -->\n", "without its partner"),
        ("<!-- begin: nothing -->\n<!-- end: nothing -->\n", "no source for: nothing"),
    ],
)
def test_a_wrong_marker_is_an_error(generate, text, message):
    with pytest.raises(ValueError, match=message):
        generate.generated(text)


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_settings_of_the_readme_work_with_lists_and_with_tuples(kind):
    readme = (ROOT / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(# settings\.py.*?)```", readme, re.DOTALL)
    names = {"INSTALLED_APPS": kind(["bank"]), "MIDDLEWARE": kind(["bank.middleware"])}

    exec(lines, names)

    assert list(names["INSTALLED_APPS"]) == ["bank", "django_memsize"]
    assert list(names["MIDDLEWARE"]) == [
        "django_memsize.middleware.MemsizeMiddleware",
        "bank.middleware",
    ]
