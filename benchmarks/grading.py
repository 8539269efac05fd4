"""How long a class of submissions takes to grade, and whether every mark is the one it should be.

    uv run python benchmarks/grading.py [--quick] [--students 30] [--lessons ex01 ex04] [--jobs 2]

Makes a class: each student hands in a notebook of every lesson. Each exercise in it is, at random
but from a seed, the course's solution, a valid answer or a wrong one from tests/answers, or still
the stub. So the right mark of each is known. `--hostile` adds students who attack: loops without an
end, memory, files, processes, `os._exit`. Importing torch, once for each job, is part of the time.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path.insert(0, str(TESTS))

from segutils.exercises import exercise  # noqa: E402
from segutils.grading.keeper import Limits  # noqa: E402
from segutils.grading.marking import cores, grade  # noqa: E402
from segutils.grading.submissions import checked, courses  # noqa: E402

KINDS = {"solution": 50, "valid": 10, "wrong": 25, "stub": 15}  # of 100 answers
ATTACKS = {
    "loops": "while True: pass",
    "sleeps": "import time; time.sleep(10**4)",
    "exits": "import os; os._exit(0)",
    "aborts": "import os; os.abort()",
    "eats": "full = []\nwhile True: full.append(bytearray(10**8))",
    "fills": "n = 0\nwhile True:\n    n += 1\n    open(f'{n}', 'wb').write(bytes(10**7))",
    "forks": "import os, time\nfor _ in range(60):\n    if os.fork() == 0:\n"
             "        time.sleep(300)\n        os._exit(0)",
    "patches": "import numpy, segutils.exercises.judging as judging\n"
               "numpy.allclose = judging.judge = lambda *args, **options: True",
    "prints": "for _ in range(20000): print('x' * 10**5)",
    "kills": "import os; os.kill(os.getppid(), 9)",
}


def stored(edition: str, lesson: str) -> dict:
    (path,) = (ROOT / "notebooks" / edition).glob(f"{lesson}_*.ipynb")
    return json.loads(path.read_text(encoding="utf-8"))


def answer_cell(name: str, expression: str, table: str, place: int | None) -> str:
    """A cell that takes its answer out of tests/answers."""
    lesson, _, short = name.partition(".")
    pick = f"{table}[{short!r}]" + (f"[{place}][0]" if table == "WRONG" else f"[{place}]")
    return (f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n"
            f"from answers import {lesson} as theirs\n"
            f"{expression} = theirs.{pick}\ncheck({name!r}, {expression})\n")


def notebook(lesson: str, draw: random.Random, known, attack: str = "") -> tuple[dict, dict]:
    """A submission, and {exercise: points due}."""
    import importlib

    theirs = importlib.import_module(f"answers.{lesson}")
    made, solved = stored("exercises", lesson), stored("solutions", lesson)
    right = {name: c for c in solved["cells"] for name in checked("".join(c["source"]))
             if c["cell_type"] == "code"}
    due = {}
    for cell in made["cells"]:
        names = checked("".join(cell["source"])) if cell["cell_type"] == "code" else []
        for name in names:
            (kind,) = draw.choices(list(KINDS), KINDS.values())
            short, answer = name.partition(".")[2], known[lesson].answers[name]
            if kind == "solution":
                cell["source"] = right[name]["source"]
            elif kind != "stub":
                table = kind.upper()
                place = draw.randrange(len(getattr(theirs, table)[short]))
                cell["source"] = answer_cell(name, answer, table, place)
            due[name] = exercise(name).points * (kind in ("solution", "valid"))
    if attack:
        cell = {"cell_type": "code", "id": "attack", "metadata": {}, "outputs": [],
                "execution_count": None, "source": attack}
        made["cells"].insert(3, cell)  # before the first exercise
    return made, due


def hand_in(folder: Path, students: int, lessons: list[str], hostile: int) -> dict:
    """Write a class's notebooks; {(student, exercise): points due}."""
    known, due = courses(), {}
    for number in range(students):
        draw = random.Random(number)
        attack = list(ATTACKS)[number % len(ATTACKS)] if number < hostile else ""
        student = f"student{number:02}" + (f"_{attack}" if attack else "")
        (folder / student).mkdir()
        for lesson in lessons:
            made, points = notebook(lesson, draw, known, ATTACKS.get(attack, ""))
            (folder / student / f"{lesson}.ipynb").write_text(json.dumps(made), encoding="utf-8")
            due |= {(student, name): n for name, n in points.items()}
    return due


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--lessons", nargs="+", default=list(courses()))
    parser.add_argument("--hostile", type=int, default=0, help="how many of the students attack")
    parser.add_argument("--jobs", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=Limits.seconds)
    parser.add_argument("--quick", action="store_true", help="two students, one lesson")
    options = parser.parse_args(arguments)
    if options.quick:
        options.students, options.lessons = 2, ["ex04"]
    with tempfile.TemporaryDirectory() as folder:
        due = hand_in(Path(folder), options.students, options.lessons, options.hostile)
        start = time.perf_counter()
        grades = grade(folder, jobs=options.jobs, limits=Limits(seconds=options.seconds))
        seconds = time.perf_counter() - start
    odd = [mark for key, mark in grades.marks.items() if mark.points != due[key]]
    notebooks = options.students * len(options.lessons)
    load = f"; load at the end {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{options.students} students, {min(options.hostile, options.students)} of them hostile; "
          f"{notebooks} notebooks, {len(due)} marks, {options.jobs} at a time")
    print(f"{seconds:.0f} s in all, {seconds / notebooks:.1f} s a notebook{load}")
    print(f"{len(due) - len(odd)} of {len(due)} marks are the ones due")
    for mark in odd:
        print(f"  {mark.student}, {mark.exercise}: {mark.status}, {mark.points} points, due are "
              f"{due[mark.student, mark.exercise]}: {mark.hint[:200]}")
    return int(any(mark.points is not None for mark in odd))


if __name__ == "__main__":
    sys.exit(main())
