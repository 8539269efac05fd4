"""`python -m segutils grade`: marks a folder of submitted notebooks.

    python -m segutils grade handed_in --out grades.csv
    python -m segutils grade handed_in --out grades.csv --tests my_hidden_tests --seconds 300

Accepted are a folder for each student (anna/ex04_….ipynb, also deeper, as nbgrader lays them out)
and files that begin with the student's name (anna_ex04_….ipynb). Written are the table, one row for
each student and exercise and one for the student's total, and a page beside it (grades.html).

Each notebook runs in a process of its own with limits. That is no security boundary against a
determined attacker, who has your rights: grade strangers' code in a container, as the head of
segutils/grading/__init__.py shows. What a limit stopped has no points, and its status says "not
marked". Ends with 0 if all is marked, 1 if something is not, 2 if nothing could be graded.
"""

import argparse
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from segutils.grading import keeper, report
from segutils.grading.keeper import Limits
from segutils.grading.marking import SEED, cores, grade
from segutils.grading.submissions import GradingError


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(prog="python -m segutils grade", description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    add = command.add_argument
    add("folder", type=Path, help="the folder of the submissions")
    add("--out", type=Path, required=True, help="the table to write, such as grades.csv")
    add("--jobs", type=positive(int), default=cores(),
        help="notebooks at a time (%(default)s: as many as there are cores)")
    add("--seconds", type=positive(float), default=Limits.seconds,
        help="for one cell or one exercise (%(default)g); five times that for a notebook")
    add("--memory", type=positive(float), default=Limits.memory / 2**30, metavar="GB",
        help="for one notebook, beyond the course's own imports (%(default)g)")
    add("--tests", type=Path, metavar="FOLDER", help="hidden tests: exNN*.py with CASES")
    add("--notebooks", type=Path, metavar="FOLDER",
        help="the notebooks as handed out, if they are not the course's own")
    add("--seed", type=int, default=SEED,
        help="of the cases that are marked (%(default)s; students see those of 0)")
    return command


def positive(kind):
    def number(text: str):
        if not kind(text) > 0:
            raise ValueError
        return kind(text)

    number.__name__ = "positive number"
    return number


def main(arguments: list[str] | None = None) -> int:
    """Grade, and write the two files; the exit status is in the module's docstring."""
    options = parser().parse_args(arguments)
    limits = Limits(seconds=options.seconds, memory=int(options.memory * 2**30))
    try:
        if not options.out.resolve().parent.is_dir() or options.out.is_dir():
            raise GradingError(f"--out {options.out}: not a file in a folder that exists")
        if options.out.suffix.lower() == ".html":
            raise GradingError(f"--out {options.out}: the table is a .csv; the page comes with it")
        if keeper.missing():
            print(f"Note: {keeper.missing()}.")
        with ended_as_by_ctrl_c():
            grades = shown(options, limits)
        page = report.write(grades, options.out)
    except (GradingError, OSError) as error:
        print(f"segutils grade: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.", file=sys.stderr)
        return 130
    for note in grades.notes:
        print(f"left out: {note}")
    unmarked = grades.unmarked()
    for mark in unmarked:
        print(f"not marked: {mark.student}, {mark.exercise}: {mark.hint.splitlines()[-1]}")
    print(f"{len(grades.students)} students, {len(grades.marks)} marks, {len(unmarked)} of them "
          f"open: {options.out} and {page}")
    return int(bool(unmarked))


@contextmanager
def ended_as_by_ctrl_c():
    """SIGTERM (`kill`) ends the students' processes and deletes their folders as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def shown(options: argparse.Namespace, limits: Limits):
    """Grade with a bar in a terminal, else with a line for each notebook."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console()
    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("grading", total=None)

        def tell(done: int, of: int, line: str) -> None:
            bar.update(task, completed=done, total=of)
            console.print(f"{done}/{of} {line}", markup=False, highlight=False, soft_wrap=True)

        return grade(options.folder, options.tests, options.notebooks, limits, options.jobs,
                     options.seed, tell)
