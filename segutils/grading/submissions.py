"""Finds the submitted notebooks, and what in them stands for which exercise.

A notebook belongs to the student whose folder it lies in, at any depth, or whose name stands before
`exNN` in the file's name:

    handed_in/anna/ex04_losses_and_metrics.ipynb       a folder a student
    handed_in/anna_ex04_losses_and_metrics.ipynb       a file a student and lesson
    submitted/anna/ps4/ex04_losses_and_metrics.ipynb   nbgrader's folders

Its lesson is the one that its cells check exercises of; where none is left, the file's name says.
A capstone is left out with a line that says so: a person marks it, by the rubric.
"""

import ast
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from segutils.exercises import exercise
from segutils.grading.student import GONE, Ask

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = ROOT / "notebooks" / "exercises"
LARGEST = 50 * 2**20  # bytes of a notebook
PLACES = 3  # an exercise that is checked more often is looked at in its last three cells
CHECKED = re.compile(r"""\bcheck\(\s*["'](ex\d\d)\.(\w+)["']""")
CAPSTONE = re.compile(r"(?:^|[ _.-])capstone(?![a-z])", re.IGNORECASE)
IN_NAME = re.compile(r"^(?:(?P<student>.+?)[ _.-]+)?(?P<lesson>ex\d\d)(?!\d)", re.IGNORECASE)


class GradingError(Exception):
    """What the instructor has to mend, in one line."""


class Cell(NamedTuple):
    """A code cell: its number in the notebook, text, id, and nbgrader's name for it."""

    number: int
    source: str
    id: str = ""
    grade_id: str = ""


class Course(NamedTuple):
    """A lesson's exercises as handed out: the expression that is each answer, and its cell."""

    answers: dict[str, str]
    cells: dict[str, Cell]


@dataclass
class Submission:
    """One student's notebook of one lesson. `trouble`, in words, if it cannot be run."""

    student: str
    path: Path
    lesson: str = ""
    cells: list[Cell] = field(default_factory=list)
    trouble: str = ""
    own_folder: bool = False

    def asks(self, course: Course) -> dict[int, list[Ask]]:
        """Which exercises to look at after which cell. After the last, whatever is still open."""
        found: dict[int, list[Ask]] = {}
        for name, answer in course.answers.items():
            for place in [*self.places(name, course.cells[name])[-PLACES:], GONE]:
                found.setdefault(place, []).append(Ask(name, answer))
        return found

    def places(self, name: str, own: Cell) -> list[int]:
        """The cells that check an exercise; if none does, the one that did when handed out."""
        found = [c.number for c in self.cells if name in checked(c.source)]
        same = [c.number for c in self.cells
                if c.id and c.id == own.id or c.grade_id and c.grade_id == own.grade_id]
        return found or same


def checked(source: str) -> list[str]:
    """The exercises that a cell calls `check` for, be it valid Python or not."""
    return [f"{lesson}.{name}" for lesson, name in CHECKED.findall(source)]


# ---- what was handed out -------------------------------------------------------------------------


def courses(folder: Path | None = None) -> dict[str, Course]:
    """The course's own notebooks by lesson, {"ex01": …}. Raises GradingError."""
    folder = folder or EXERCISES
    found = {}
    for path in sorted(folder.glob("ex*.ipynb")):
        try:
            cells = code_cells(path)
            for name in (name for c in cells for name in checked(c.source)):
                exercise(name)
        except ValueError as error:
            raise GradingError(f"{path}: {error}") from None
        answers = {name: (answer, c) for c in cells for name, answer in asked_in(c.source)}
        if answers:
            lesson = next(iter(answers)).partition(".")[0]
            found[lesson] = Course({name: answer for name, (answer, _) in answers.items()},
                                   {name: c for name, (_, c) in answers.items()})
    if not found:
        raise GradingError(f"{folder}: no exercises there; grade from a clone of the course, or "
                           "say with --notebooks where those are that you handed out")
    return found


def asked_in(source: str) -> list[tuple[str, str]]:
    """(exercise, expression of its answer) of each `check(…)` in a cell of the course."""
    if not CHECKED.search(source):
        return []
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [(call.args[0].value, ast.unparse(call.args[1])) for call in calls
            if isinstance(call.func, ast.Name) and call.func.id == "check"]


def code_cells(path: Path) -> list[Cell]:
    """The code cells of a notebook. Raises ValueError with what is wrong with the file."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MB: clear its outputs and save it again")
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return [read for number, cell in enumerate(cells) if (read := _cell(number, cell))]
    except RecursionError:
        raise ValueError("not a notebook: nested too deep") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a notebook that can be read ({type(error).__name__})") from None


def _cell(number: int, cell: dict) -> Cell | None:
    if cell["cell_type"] != "code":
        return None
    nbgrader = cell.get("metadata", {}).get("nbgrader", {})
    return Cell(number, "".join(cell["source"]), str(cell.get("id", "")),
                str(nbgrader.get("grade_id", "")))


# ---- what was handed in --------------------------------------------------------------------------


def submissions(folder: Path, known: dict[str, Course]) -> tuple[list[Submission], list[str]]:
    """(submissions in order of student and lesson, a line on each file that is none)."""
    if not folder.is_dir():
        raise GradingError(f"{folder}: no such folder")
    found, notes = [], []
    for path in notebooks(folder):
        shown = printable(path.relative_to(folder).as_posix())
        if path.is_symlink() or not path.is_file():
            notes.append(f"{shown}: a link or no file, left out")
            continue
        submission = read(path, folder, known)
        if not submission.lesson and CAPSTONE.search(path.stem):
            notes.append(f"{shown}: a capstone, which no machine marks: mark it by the rubric in "
                         "INSTRUCTORS.md")
        elif not submission.student:
            notes.append(f"{shown}: whose is it? Put it into a folder with the student's name")
        elif not submission.lesson:
            why = submission.trouble or "no exercise of this course is in it"
            notes.append(f"{shown}: {why}")
        else:
            found.append(submission)
    if not found:
        where = "; ".join(notes[:3])
        raise GradingError(f"{folder}: no submission found" + (f" ({where})" if where else ""))
    return sorted(found, key=lambda s: (s.student, s.lesson, s.path)), notes


def notebooks(folder: Path) -> list[Path]:
    """The notebooks below a folder, without Jupyter's own copies; links are not followed."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(files)
                  if name.lower().endswith(".ipynb") and not name.startswith(".")]
    return found


def read(path: Path, folder: Path, known: dict[str, Course]) -> Submission:
    """A notebook as a submission; what cannot be found out stays empty."""
    inner, named = path.relative_to(folder), IN_NAME.match(path.stem)
    own_folder = len(inner.parts) > 1
    student = inner.parts[0] if own_folder else (named and named["student"]) or ""
    submission = Submission(printable(student), path, own_folder=own_folder)
    try:
        submission.cells = code_cells(path)
    except (OSError, ValueError) as error:
        submission.trouble = str(error)
    lessons = Counter(name.partition(".")[0] for c in submission.cells for name in checked(c.source)
                      if name.partition(".")[0] in known)
    if lessons:
        submission.lesson = lessons.most_common(1)[0][0]
    elif named and named["lesson"].lower() in known:
        submission.lesson = named["lesson"].lower()
    return submission


def beside(submission: Submission) -> list[Path]:
    """The files that lie beside the notebook in a student's own folder, and are no notebooks."""
    if not submission.own_folder:
        return []
    return [path for path in sorted(submission.path.parent.iterdir())
            if path.is_file() and not path.is_symlink() and path.suffix.lower() != ".ipynb"
            and not path.name.startswith(".")]


def printable(text: str) -> str:
    """A name without what would move a terminal's cursor or break a line."""
    text = os.fsencode(text).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
