"""nbgrader's editions of the exercises: its metadata, and its own commands on three submissions.

They run where nbgrader is installed: `uv run --extra nbgrader pytest tests/test_nbgrader.py`.
"""

import csv
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from segutils.exercises import exercise, exercises

LESSONS = sorted({e.name.split(".")[0] for e in exercises()})
TESTED = "ex01"  # the assignment that nbgrader is run on

# What students write in place of the stub, by exercise.
WRONG = {
    "ex01.one_hot": "return np.stack([mask == c for c in range(classes + 1)])",
    "ex01.from_one_hot": "return planes.argmax(axis=0)",
    "ex01.decode_rgb": "raise RuntimeError('no idea')",
    "ex01.resize_nearest": "return mask[:height, :width]",
    "ex01.rle_encode": "return [",  # the cell does not even compile
    "ex01.palette": "colors = [(0, 0, 0)] * 6",
}
# What students leave in a right answer: nbgrader gives no points to a cell that writes to stderr.
TRACES = "import sys, warnings; warnings.warn('slow'); print('here', file=sys.stderr)"


def released(cells):
    """The cells that students see, but for those that give points."""
    return [cell for cell in cells if not cell.metadata.get("nbgrader", {}).get("grade")]


def role(cell, what):
    return cell.metadata.get("nbgrader", {}).get(what, False)


def own_id(name):
    """The grade_id of an exercise: nbgrader allows no dot."""
    return name.replace(".", "-")


def short(lesson):
    return [e for e in exercises() if e.name.startswith(lesson + ".")]


@pytest.fixture(scope="module")
def course(build, tmp_path_factory):
    """An nbgrader course with all exercises."""
    out = tmp_path_factory.mktemp("nbgrader") / "course"
    assert build.main(["--nbgrader", str(out)]) == 0
    return out


def source(course, lesson):
    (path,) = (course / "source" / lesson).glob("*.ipynb")
    return nbformat.read(path, as_version=4)


# ---- the metadata -------------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_exercise_has_a_solution_cell_and_a_locked_cell_with_its_points(course, lesson):
    cells = source(course, lesson).cells
    given = [cell for cell in cells if role(cell, "grade")]
    declared = {own_id(e.name): e.points for e in short(lesson)}
    assert {c.metadata.nbgrader.grade_id: c.metadata.nbgrader.points for c in given} == declared
    assert len(given) == len(declared)
    for cell in given:
        assert cell.metadata.nbgrader.locked and not cell.metadata.nbgrader.solution
        before = cells[cells.index(cell) - 1]
        name = cell.metadata.nbgrader.grade_id.replace("-", ".")
        assert f'check("{name}"' in cell.source and f'check("{name}"' in before.source
    for cell in cells:
        assert role(cell, "solution") == ("### BEGIN SOLUTION" in cell.source)
        assert not (role(cell, "solution") and role(cell, "grade"))  # that is graded by hand
    ids = [cell.metadata.nbgrader.grade_id for cell in cells if "nbgrader" in cell.metadata]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_\-]+", i) for i in ids)  # what nbgrader's schema allows
    assert len({cell.id for cell in cells}) == len(cells)


@pytest.mark.parametrize("lesson", LESSONS)
def test_without_its_solutions_it_is_the_students_edition(build, course, lesson):
    (path,) = (build.FOLDER / "exercises").glob(f"{lesson}_*.ipynb")
    ours = nbformat.read(path, as_version=4).cells
    theirs = released(source(course, lesson).cells)
    assert [(c.id, c.cell_type, c.source) for c in ours] == [
        (c.id, c.cell_type, build.split_solution(c.source)[0]) for c in theirs
    ]


def test_the_answer_of_a_check_is_found_as_it_is_written(build):
    cell = nbformat.v4.new_code_cell('def f(x):\n    return x\n\n\ncheck("ex05.resume", (f, f))')
    assert build.checked(cell) == ("ex05.resume", "(f, f)")
    assert build.checked(nbformat.v4.new_code_cell("print(1)")) == ("", "")
    assert build.checked(nbformat.v4.new_markdown_cell('check("ex01.x", x)')) == ("", "")


def test_cells_of_one_edition_alone_go_where_they_belong(build, tmp_path):
    sources = tmp_path / "src"
    sources.mkdir()
    (sources / "ex01_try.py").write_text(
        '# %% tags=["student-only"]\n"for you"\n\n# %% tags=["solution-only"]\n"the secret"\n\n'
        "# %%\nx = ...\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n"
        'check("ex01.one_hot", x)\n'
    )
    (target, _) = build.targets(tmp_path)
    texts = [cell.source for cell in build.nbgrader_source(target).cells]
    assert texts[0] == '"for you"' and len(texts) == 3
    assert texts[2].endswith('check("ex01.one_hot", x, quiet=True).points')


def test_wrong_calls_get_one_line(build, course, tmp_path, capsys):
    sources = tmp_path / "notebooks" / "src"
    sources.mkdir(parents=True)
    text = "# %%\nx = ...\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n"
    (sources / "ex01_try.py").write_text(text)
    for arguments, folder, says in (
        ([str(course)], build.FOLDER, "exists already"),
        ([str(tmp_path / "out"), "01"], build.FOLDER, "none of these is an exercise"),
        ([str(tmp_path / "out")], sources.parent, "cell 0: a solution without its check"),
    ):
        assert build.main(["--nbgrader", *arguments], folder) == 1
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1, error
    assert not (tmp_path / "out").exists()


# ---- nbgrader's own commands --------------------------------------------------------------------


def nbgrader(course, *command):
    command = [sys.executable, "-m", "nbgrader", *command]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # for alembic
    env = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def submission(release, solved, answers):
    """A student's notebook: "right", "blank", or code in place of the stub, by exercise."""
    notebook = nbformat.from_dict(release)
    right = {c.metadata.nbgrader.grade_id: c.source for c in solved.cells if role(c, "solution")}
    for cell in notebook.cells:
        if role(cell, "solution"):
            name = cell.metadata.nbgrader.grade_id
            how = answers[name.removesuffix("-answer").replace("-", ".")]
            if how == "right":
                begin = "### BEGIN SOLUTION\n    "  # of a function
                cell.source = right[name].replace(begin, f"{TRACES}\n    ", 1)
            elif how != "blank":
                cell.source = cell.source.replace("...  # your code here", how)
    return notebook


def our_points(notebook):
    """{exercise: points} that `check` awarded in a notebook that was run: what its boxes say."""
    found = {e.name: 0 for e in short(TESTED)}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            text = output.get("data", {}).get("text/plain", "")
            box = re.match(r"[✓✗○] (ex\d\d\.\w+): .*\((\d+) of \d+ points?\)", text)
            if box:
                found[box[1]] = int(box[2])
    return found


@pytest.fixture(scope="module")
def graded(build, tmp_path_factory):
    """An nbgrader course in which three students were graded; what each of them answered."""
    if importlib.util.find_spec("nbgrader") is None:
        pytest.skip("nbgrader is not installed: it is the optional extra `nbgrader`")
    course = tmp_path_factory.mktemp("graded") / "course"
    assert build.main(["--nbgrader", str(course), TESTED]) == 0
    nbgrader(course, "generate_assignment", TESTED, "--create", "--force")
    (path,) = (course / "release" / TESTED).glob("*.ipynb")
    release, solved = nbformat.read(path, as_version=4), source(course, TESTED)
    names = [e.name for e in short(TESTED)]
    right = dict.fromkeys(names, "right")
    partly = {**right, names[1]: "blank", **{n: WRONG[n] for n in names[3:5]}}
    students = {"partly": partly, "right": right, "wrong": WRONG}
    for student, answers in students.items():
        place = course / "submitted" / student / TESTED / path.name
        place.parent.mkdir(parents=True)
        nbformat.write(submission(release, solved, answers), place)
    nbgrader(course, "autograde", TESTED, "--create", "--force")
    nbgrader(course, "export", "--to", "grades.csv")
    return course, path.name, students


def test_nbgrader_makes_the_same_students_edition(build, graded):
    course, name, _ = graded
    theirs = nbformat.read(course / "release" / TESTED / name, as_version=4).cells
    ours = nbformat.read(build.FOLDER / "exercises" / name, as_version=4).cells
    assert [(c.id, c.cell_type, c.source) for c in released(theirs)] == [
        (c.id, c.cell_type, c.source) for c in ours
    ]
    for cell in theirs:
        if role(cell, "grade"):
            assert cell.metadata.deletable is False and cell.metadata.editable is False


def gradebook(course, students):
    """{student: {exercise: points}} as nbgrader has them; none waits for a person."""
    from nbgrader.api import Gradebook

    found = {}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        for student in students:
            (notebook,) = book.find_submission(TESTED, student).notebooks
            assert not any(grade.needs_manual_grade for grade in notebook.grades)
            found[student] = {g.name.replace("-", "."): g.score for g in notebook.grades}
    return found


def test_its_points_are_those_that_check_awards(graded):
    course, name, students = graded
    theirs = gradebook(course, students)
    for student, answers in students.items():
        run = nbformat.read(course / "autograded" / student / TESTED / name, as_version=4)
        assert theirs[student] == our_points(run), student
        hoped = {n: exercise(n).points * (answers[n] == "right") for n in answers}
        assert theirs[student] == hoped, student


def test_its_points_are_those_of_our_grading(graded, tmp_path):
    if importlib.util.find_spec("segutils.grading") is None:
        pytest.skip("this version has no `python -m segutils grade` yet")
    course, _, students = graded
    out = tmp_path / "ours.csv"
    command = [sys.executable, "-m", "segutils", "grade", str(course / "submitted")]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with out.open(newline="", encoding="utf-8") as file:
        ours = {(row["student"], row["exercise"]): row["points"] for row in csv.DictReader(file)}
    for student, grades in gradebook(course, students).items():
        for name, points in grades.items():
            assert float(ours[student, name]) == points, (student, name)


def test_its_export_adds_them_up(graded):
    course, _, students = graded
    with (course / "grades.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(students)
    full = sum(e.points for e in short(TESTED))
    assert {float(row["max_score"]) for row in rows.values()} == {full}
    assert float(rows["right"]["score"]) == full
    assert float(rows["wrong"]["score"]) == 0
    assert 0 < float(rows["partly"]["score"]) < full
