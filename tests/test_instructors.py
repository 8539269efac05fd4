"""INSTRUCTORS.md: what is generated in it is fresh, and every command in it runs.

`python tests/test_instructors.py` writes the generated parts anew: the table of lessons from the
notebooks that there are, the exercises as declared, and the wrong answers from `tests/answers`.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from answers import told

from segutils.exercises import LESSONS, exercise, exercises

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "INSTRUCTORS.md"


# ---- the generated parts ------------------------------------------------------------------------


def lessons():
    """The table of lessons: what each says of itself, and what its exercises declare."""
    rows = [
        "| lesson | to run, minutes | on a GPU | exercises | points | minutes for them |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        text = " ".join(nbformat.read(path, as_version=4).cells[0].source.split())
        minutes, gpu = re.search(
            r"\*\*Minutes\*\*: (.+?) to run on two CPU cores · GPU: (.+?)\. ", text
        ).groups()
        found = exercises(f"ex{path.name[:2]}") if f"ex{path.name[:2]}" in LESSONS else []
        counts = [len(found), sum(e.points for e in found), sum(e.minutes for e in found)]
        cells = [path.stem, minutes, gpu, *(str(n or "–") for n in counts)]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def all_exercises():
    """The table of exercises: what each declares."""
    rows = [
        "| exercise | level | aim | points | minutes (an estimate) |",
        "|---|---|---|---|---|",
    ]
    for e in exercises():
        rows.append(f"| `{e.name}` | {e.level} | {e.aim} | {e.points} | {e.minutes} |")
    return "\n".join(rows)


def wrong_answers():
    """A list for each exercise: the mistake's key, and what the student is told."""
    parts = []
    for lesson in LESSONS:
        parts.append(f"### {lesson}")
        for e in exercises(lesson):
            lines = [f"**{e.name}**: {e.title}", ""]
            for key, message in told(e.name).items():
                text = f"- `{key}`: {' '.join(message.split())}"
                lines += textwrap.wrap(text, 100, subsequent_indent="  ", break_on_hyphens=False)
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def between(text, name):
    """The generated part of that name as it stands in the page, and where it begins and ends."""
    found = re.search(rf"(?s)<!-- {name}: [^\n]*-->\n(.*?)<!-- end of {name} -->", text)
    assert found, f"INSTRUCTORS.md has lost the marks around its {name}"
    return found[1].strip(), *found.span(1)


def write():
    text = PAGE.read_text(encoding="utf-8")
    parts = {
        "lessons": lessons(), "exercises": all_exercises(), "wrong answers": wrong_answers(),
    }
    for name, fresh in parts.items():
        _, begin, end = between(text, name)
        text = f"{text[:begin]}\n{fresh}\n\n{text[end:]}"
    PAGE.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


def test_the_table_of_lessons_is_fresh(page):
    assert between(page, "lessons")[0] == lessons(), "run: python tests/test_instructors.py"


def test_the_table_of_exercises_is_fresh(page):
    assert between(page, "exercises")[0] == all_exercises(), "run: python tests/test_instructors.py"


def test_the_wrong_answers_are_fresh(page):
    assert between(page, "wrong answers")[0] == wrong_answers(), (
        "run: python tests/test_instructors.py"
    )


def test_each_exercise_has_wrong_answers_in_the_page(page):
    part = between(page, "wrong answers")[0]
    for e in exercises():
        begin, end = rf"\*\*{re.escape(e.name)}\*\*: ", r"(?=\n\n\*\*|\n\n###|\Z)"
        (text,) = re.findall(rf"(?s){begin}(.*?){end}", part)
        assert text.startswith(e.title)
        assert text.count("\n- `") >= 4, e.name


# ---- the plans ----------------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["Half a day", "One day"])
def test_the_minutes_of_a_plan_add_up(page, title):
    total, plan = re.search(rf"(?s)### {title} \((\d+) minutes\)(.*?)\n##", page).groups()
    rows = re.findall(r"(?m)^\| (\d+) \| (.*) \|$", plan)
    assert sum(int(minutes) for minutes, _ in rows) == int(total)
    for minutes, what in rows:
        asked = [exercise(name) for name in re.findall(r"`(ex\d\d\.\w+)`", what)]
        assert not asked or int(minutes) >= sum(e.minutes for e in asked), what


def test_plans_name_lessons_sections_and_exercises_that_exist(page):
    plans = re.search(r"(?s)\n## Plans(.*?)\n## ", page)[1]
    there = {path.name[:2]: path for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    named = re.findall(r"(?m)^\| \d+ \| lesson (\d\d), sections ([^|]+?) \|$", plans)
    assert len(named) >= 5
    for lesson, sections in named:
        cells = nbformat.read(there[lesson], as_version=4).cells
        headings = {h for c in cells for h in re.findall(r"(?m)^## (\d+) ", c.source)}
        assert set(re.findall(r"\d+", sections)) <= headings, (lesson, sections)
    for lesson in re.findall(r"(?m)^\| \d+ \| lessons? (\d\d)(?: and (\d\d))?", plans):
        assert {n for n in lesson if n} <= set(there)
    homework = re.findall(r"(?m)^\| \d \|.*\| (`ex\d\d`.*) \|$", plans)
    assert len(homework) >= 5
    for name in re.findall(r"`(ex\d\d)`", " ".join(homework)):
        assert name in LESSONS


def test_files_that_the_page_names_exist(page):
    for name in re.findall(r"`((?:notebooks|tests|segutils)/[\w./]+)`", page):
        assert (ROOT / name).exists(), name


# ---- the commands -------------------------------------------------------------------------------

SHIM = """\
#!/bin/bash
# Stands for uv where the environment is there already: `uv run [--extra NAME] COMMAND`.
[ "$1" = run ] || exit 9
shift
while [ "$1" = --extra ]; do shift 2; done
[ "$1" = workbook ] && set -- python -m segutils "$@"
[ "$1" = nbgrader ] && set -- python -m "$@"
exec "$@"
"""


def blocks():
    """The fenced bash blocks of the page, in order."""
    return re.findall(r"(?s)```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of the course in which commands may write, and an `uv` that installs nothing."""
    place = tmp_path_factory.mktemp("clone")
    ours = ("segutils", "notebooks", "data", "tests")
    junk = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "public", "images", "*.part")
    for name in ours:
        shutil.copytree(ROOT / name, place / name, ignore=junk)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, place)
    (place / "bin").mkdir()
    for name, text in (("uv", SHIM), ("python", f'#!/bin/bash\nexec "{sys.executable}" "$@"\n')):
        (place / "bin" / name).write_text(text)
        (place / "bin" / name).chmod(0o755)
    submission = place / "classroom" / "submissions" / "STUDENT"
    submission.mkdir(parents=True)
    shutil.copy(next((place / "notebooks" / "exercises").glob("ex01_*.ipynb")), submission)
    return place


def run(clone, block):
    """Runs a block as somebody would who pastes it into a shell in the clone."""
    path = [clone / "bin", Path(sys.executable).parent, os.environ["PATH"]]
    env = {**os.environ, "PATH": os.pathsep.join(map(str, path)), "PYTHONPATH": str(clone)}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=clone, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )


def returned(clone):
    """Students hand in what was released: the file comes back as it went out."""
    released = clone / "classroom" / "course" / "release"
    if released.is_dir():
        shutil.copytree(released, released.parent / "submitted" / "STUDENT", dirs_exist_ok=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are written for bash")
@pytest.mark.parametrize("number", range(len(blocks())))
def test_every_command_runs(clone, number):
    block = blocks()[number]
    if "segutils grade" in block and importlib.util.find_spec("segutils.grading") is None:
        pytest.skip("this version has no `python -m segutils grade` yet")
    if "--extra nbgrader" in block and importlib.util.find_spec("nbgrader") is None:
        pytest.skip("nbgrader is not installed: it is the optional extra `nbgrader`")
    if "autograde" in block:
        returned(clone)
    done = run(clone, block)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"


def test_the_commands_are_those_of_a_whole_course():
    """None is lost, and none hides in a block that is not run."""
    text = "\n".join(blocks())
    for command in ("--student-bundle", "segutils grade", "--nbgrader", "generate_assignment",
                    "autograde", "generate_feedback", "export", "workbook --check"):
        assert command in text, command
    page = PAGE.read_text(encoding="utf-8")
    fences = re.findall(r"(?m)^```(\w+)$", page)
    assert set(fences) == {"bash", "text"}
    for block in re.findall(r"(?s)```text\n(.*?)```", page):
        assert "uv run" not in block and "python" not in block


if __name__ == "__main__":
    sys.exit(write() or print("written: INSTRUCTORS.md"))
