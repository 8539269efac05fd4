"""INSTRUCTORS.md: what is generated in it is fresh, and every command in it runs.

`python tests/test_instructors.py` writes the generated parts anew: the table of lessons from the
notebooks that there are, the capstone's steps and rubric from its notebook's source, the exercises
as declared, and the wrong answers from `tests/answers`.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import jupytext
import nbformat
import pytest
from answers import told

from segutils.exercises import LESSONS, exercise, exercises
from segutils.grading import command, marking, report

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


def capstone():
    """The tables of steps and minutes, and the rubric, word for word as students read them."""
    cells = jupytext.read(ROOT / "notebooks" / "src" / "capstone.py").cells
    parts = dict(cell.source.split("\n", 1) for cell in cells if "\n" in cell.source)
    steps, rubric = (parts[head].strip() for head in ("## The steps", "## The rubric"))
    return f"{steps}\n\n{rubric}"


def generated():
    """{name of a generated part: what it has to be}."""
    return {"lessons": lessons(), "capstone": capstone(), "exercises": all_exercises(),
            "wrong answers": wrong_answers()}


def between(text, name):
    """The generated part of that name as it stands in the page, and where it begins and ends."""
    found = re.search(rf"(?s)<!-- {name}: [^\n]*-->\n(.*?)<!-- end of {name} -->", text)
    assert found, f"INSTRUCTORS.md has lost the marks around its {name}"
    return found[1].strip(), *found.span(1)


def write():
    text = PAGE.read_text(encoding="utf-8")
    for name, fresh in generated().items():
        _, begin, end = between(text, name)
        text = f"{text[:begin]}\n{fresh}\n\n{text[end:]}"
    PAGE.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


def test_the_table_of_lessons_is_fresh(page):
    assert between(page, "lessons")[0] == lessons(), "run: python tests/test_instructors.py"


def test_the_capstone_is_fresh(page):
    assert between(page, "capstone")[0] == capstone(), "run: python tests/test_instructors.py"


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


@pytest.mark.parametrize("title", ["Half a day", "One day", "The capstone in six weeks"])
def test_the_minutes_of_a_plan_add_up(page, title):
    total, plan = re.search(rf"(?s)### {title} \((\d+) minutes\)(.*?)\n##", page).groups()
    rows = re.findall(r"(?m)^\| (\d+) \| (.*) \|$", plan)
    assert sum(int(minutes) for minutes, _ in rows) == int(total)
    for minutes, what in rows:
        asked = [exercise(name) for name in re.findall(r"`(ex\d\d\.\w+)`", what)]
        assert not asked or int(minutes) >= sum(e.minutes for e in asked), what


def test_the_capstones_plan_takes_the_minutes_of_its_steps(page):
    minutes = {int(step): int(n) for step, n in re.findall(r"(?m)^\| (\d+) .*\| (\d+) \|$",
                                                           capstone().split("| all |")[0])}
    plan = re.search(r"(?s)### The capstone in six weeks(.*?)\n##", page)[1]
    seen = []
    for time, what in re.findall(r"(?m)^\| (\d+) \| (.*) \|$", plan):
        first, last = re.search(r"steps? (\d+)(?: to (\d+))?", what).groups()
        steps = range(int(first), int(last or first) + 1)
        assert int(time) == sum(minutes[step] for step in steps), what
        seen += steps
    assert seen == list(range(1, 11))


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


FENCE = re.compile(r"(?ms)^ *(`{3,}|~{3,}) *(\S*)[^\n]*\n(.*?)^ *\1`* *$")
INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
PROGRAM = re.compile(  # what a command begins with: a variable may come first
    r"[$%>]? *(\w+=\S+ +)*((uvx?|python3?|pip|conda|workbook|nbgrader|jupyter|docker|podman|git|cd"
    r"|cp|mv|rm|mkdir|cat|bash|sh|unzip|curl)( +\S|$)|(\./\S+|\S+\.(py|sh)) +\S)"
)


def blocks(text=None):
    """The fenced bash blocks of the page, in order: those that are run."""
    text = text or PAGE.read_text(encoding="utf-8")
    return [body for _, language, body in FENCE.findall(text) if language == "bash"]


def unrun(text):
    """What in the page looks like a command, and is no part of a block that is run."""
    text = text.split("\n## Common wrong answers")[0]           # written by this file
    run = "\n".join(blocks(text))
    prose = re.sub(r"(?s)<!--.*?-->", "", FENCE.sub("", text))
    lines = [line for _, language, body in FENCE.findall(text) if language not in ("bash", "python")
             for line in body.splitlines()]
    lines += re.findall(r"(?m)^(?: {4}|\t)(.*)$", prose)
    lines += [" ".join(span.split()) for _, span in INLINE.findall(prose)]
    return [line for line in lines if PROGRAM.match(line.strip()) and line.strip() not in run]


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
    if "--extra nbgrader" in block and importlib.util.find_spec("nbgrader") is None:
        pytest.skip("nbgrader is not installed: it is the optional extra `nbgrader`")
    if "autograde" in block:
        returned(clone)
    done = run(clone, block)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"


def test_the_commands_are_those_of_a_whole_course(page):
    """None is lost, and none stands where it is not run."""
    text = "\n".join(blocks())
    for part in ("--student-bundle", "segutils grade", "--nbgrader", "generate_assignment",
                 "autograde", "generate_feedback", "export", "workbook --check"):
        assert part in text, part
    assert unrun(page) == []


@pytest.mark.parametrize("added", [
    "```sh\nuv run workbook --new\n```", "```\nuv run workbook --new\n```",
    "    uv run workbook --new", "~~~console\n$ uv run workbook --new\n~~~",
    "Type `uv run workbook --new`, and wait.",
    "In `A=1 uv run\nworkbook --new` a line ends.", "```text\nsubmissions/\ncd submissions\n```",
    "`docker run IMAGE`", "``python -m segutils grade mine``", "`notebooks/build.py --new`",
])
def test_a_command_that_is_not_run_is_seen(page, added):
    head, mark, rest = page.partition("\n## Accessibility\n")
    assert len(unrun(f"{head}\n{added}\n{mark}{rest}")) == 1


@pytest.mark.parametrize("added", [
    "```bash\nuv run new\n```", "1. First:\n\n   ```bash\n   new\n   ```", "~~~ bash\nnew\n~~~",
    "````bash title=x\nnew\n````",
])
def test_a_new_block_would_be_run(page, added):
    head, mark, rest = page.partition("\n## Accessibility\n")
    assert len(blocks(f"{head}\n{added}\n{mark}{rest}")) == len(blocks()) + 1


# ---- what the page says of grading --------------------------------------------------------------


def test_the_hidden_test_of_the_page_is_one(page, tmp_path):
    (body,) = [body for _, language, body in FENCE.findall(page) if language == "python"]
    (tmp_path / "ex01_mine.py").write_text(body, encoding="utf-8")
    (case,) = marking.hidden_cases(tmp_path)["ex01.one_hot"]
    planes = exercise("ex01.one_hot").oracle(*case.args)
    assert planes.shape == (3, 1, 40) and planes.sum() == 40 and case.label == "a mask of one row"
    assert exercise("ex01.palette").oracle is None, "it is the page's example of one without"


def test_columns_states_and_options_of_grading_are_the_pages(page):
    part = re.search(r"(?s)\n## Collect and grade\n(.*?)\n### With nbgrader\n", page)[1]
    heads = re.findall(r"(?m)^\| (`[^|]+`) \|", part)
    named = re.findall(r"`([^`]+)`", " ".join(heads))
    columns, states = named[: len(report.COLUMNS)], named[len(report.COLUMNS) :]
    assert columns == [*report.COLUMNS] and {*states} == {*report.SIGN} - {"hint"}
    options = set(re.findall(r"(?<![\w-])--[a-z]+", part))
    assert {"--tests", "--seconds", "--memory", "--seed", "--jobs"} <= options
    assert options <= set(re.findall(r"--[a-z]+", command.parser().format_help()))


if __name__ == "__main__":
    sys.exit(write() or print("written: INSTRUCTORS.md"))
