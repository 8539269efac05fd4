"""Marks what the students' processes said. Everything that decides about points is in here."""

import importlib.util
import os
import pickle
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copyfile
from typing import NamedTuple

import numpy as np
import torch

from segutils.exercises import Result, exercise
from segutils.exercises.calling import Report
from segutils.exercises.judging import attempt, judge
from segutils.grading import keeper, wire
from segutils.grading.keeper import Cold, End, KeeperError, Limits, Warm, Watch
from segutils.grading.student import GONE, Job
from segutils.grading.submissions import (
    Course,
    GradingError,
    Submission,
    beside,
    courses,
    submissions,
)

SEED = 1  # of the cases that are marked; students see those of 0
RUNS = 4  # of one notebook: each leaves out the cell that ended the one before
UNMARKED = "not marked"
LEFT = "This code ends the process that it runs in, as os._exit() does. Return the result instead."


@dataclass(frozen=True)
class Mark:
    """One exercise of one student; `points` is None where nothing could be said.

    status: "solved", "not yet", "not attempted yet", "not marked", "no notebook"
    """

    student: str
    exercise: str
    points: int | None
    of: int
    status: str
    key: str = ""
    hint: str = ""


@dataclass
class Grades:
    """All marks, by student and exercise, in order; `notes` on files that were left out."""

    students: list[str]
    exercises: list[str]
    marks: dict[tuple[str, str], Mark] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, student: str) -> list[Mark]:
        return [self.marks[student, name] for name in self.exercises]

    def on(self, name: str) -> list[Mark]:
        return [self.marks[student, name] for student in self.students]

    def unmarked(self) -> list[Mark]:
        return [mark for mark in self.marks.values() if mark.points is None]


class Answer(NamedTuple):
    """What was heard of an exercise at one place: a report, or why there is none."""

    place: int
    did: dict | None = None
    hidden: dict | None = None
    end: End | None = None

    def settled(self) -> bool:
        """Whether it is an answer: neither gone nor blank."""
        blank = isinstance(self.did, dict) and self.did.get("blank") is True
        return self.end is not None or self.did is not None and not blank


# ---- the whole folder ----------------------------------------------------------------------------


def grade(folder, tests=None, notebooks=None, limits: Limits | None = None, jobs: int | None = None,
          seed: int = SEED, tell: Callable[[int, int, str], None] = lambda *_: None,
          warm: bool = keeper.LINUX) -> Grades:
    """Grade a folder of submissions.

    folder, tests, notebooks: what was handed in, hidden tests, and the notebooks handed out (by
    default the course's own); jobs: notebooks at a time (a core each); seed: of the cases;
    tell(done, of, line) is called after each notebook. Raises GradingError in one line.
    """
    known = courses(notebooks and Path(notebooks))
    hidden = hidden_cases(Path(tests), seed) if tests else {}
    found, notes = submissions(Path(folder), known)
    marker = Marker(known, hidden, limits or Limits(), seed)
    results, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)  # as in the students' processes: equal to the last bit
    try:
        with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as place:
            for one, marks in _all(marker, found, Path(place), jobs or cores(), warm):
                results.append(marks)
                tell(len(results), len(found), f"{one.student}, {one.lesson}: {summary(marks)}")
    finally:
        torch.set_num_threads(threads)
    return collected(found, results, known, notes)


def summary(marks: Iterable[Mark]) -> str:
    """"12 of 15 points, 1 not marked"."""
    marks = list(marks)
    open_ = sum(mark.points is None for mark in marks)
    points = f"{sum(mark.points or 0 for mark in marks)} of {sum(mark.of for mark in marks)} points"
    return points + (f", {open_} not marked" if open_ else "")


def cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _all(marker, found, place: Path, jobs: int, warm: bool) -> Iterable:
    """(submission, its marks) as they come; each thread keeps a process of its own."""
    mine, keepers, stop = threading.local(), [], threading.Event()

    def one(number: int):
        if stop.is_set():
            return []
        if not hasattr(mine, "keeper"):
            own = place / f"keeper-{threading.get_ident()}"
            own.mkdir()
            mine.keeper = Warm(own) if warm else Cold(own)
            keepers.append(mine.keeper)
        return marker.submission(found[number], mine.keeper, place / f"run-{number}")

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            running = {pool.submit(one, number): number for number in range(len(found))}
            for done in as_completed(running):
                yield found[running[done]], done.result()
        finally:
            stop.set()
            for each in keepers:
                each.stop()


def collected(found, results, known: dict[str, Course], notes: list[str]) -> Grades:
    """The grades of a class; of two notebooks of one lesson, an exercise's better mark counts."""
    lessons = sorted({submission.lesson for submission in found})
    names = [name for lesson in lessons for name in known[lesson].answers]
    grades = Grades(sorted({submission.student for submission in found}), names, notes=notes)
    for mark in (mark for marks in results for mark in marks):
        before = grades.marks.get((mark.student, mark.exercise))
        if before is None or rank(mark) > rank(before):
            grades.marks[mark.student, mark.exercise] = mark
    for student in grades.students:
        for name in names:
            missing = Mark(student, name, 0, exercise(name).points, "no notebook", "",
                           "No notebook of this lesson was handed in.")
            grades.marks.setdefault((student, name), missing)
    return grades


def rank(mark: Mark) -> tuple:
    return mark.points or 0, mark.points is None, mark.status == "not yet"


# ---- one submission ------------------------------------------------------------------------------


class Marker:
    """What marks have to be made with: the course, hidden cases, limits, and the right values."""

    def __init__(self, known: dict[str, Course], hidden: dict, limits: Limits, seed: int):
        self.known, self.limits, self.seed = known, limits, seed
        self.hidden = hidden
        self.sent = {name: pickle.dumps(cases) for name, cases in hidden.items()}
        self.cases: dict[str, list] = {}
        self.judging = threading.Lock()  # oracles draw from torch's one generator

    def submission(self, submission: Submission, place: Cold, folder: Path) -> list[Mark]:
        """The marks of one notebook, whatever it does."""
        course = self.known[submission.lesson]
        if submission.trouble:
            hint = f"The notebook cannot be run: {submission.trouble}."
            return [self._mark(submission, name, None, UNMARKED, "unreadable", hint)
                    for name in course.answers]
        runs = Runs(submission, course, self, place, folder)
        try:
            runs.all()
        except KeeperError as error:
            raise GradingError(str(error)) from None
        return [self.exercise(submission, name, runs) for name in course.answers]

    def exercise(self, submission: Submission, name: str, runs: "Runs") -> Mark:
        """One mark: of several answers to an exercise the last one counts that is not blank."""
        marks = [self._answer(submission, name, answer, runs) for answer in runs.answers(name)]
        tried = [mark for mark in marks if mark.key not in ("blank", "missing")]
        if tried:
            return self._fair(tried[-1], name, runs)
        blank = [mark for mark in marks if mark.key == "blank"]
        errors = [runs.errors[p] for p in runs.places(name) if p in runs.errors]
        if errors and not blank:
            hint = f"Its cell stops: {errors[-1]}"
            mark = self._mark(submission, name, 0, "not yet", "cell_error", hint)
            return self._fair(mark, name, runs)
        if marks:
            return [*blank, *marks][0]
        if runs.trouble:
            hint = f"The notebook could not be run: {runs.trouble}"
            return self._mark(submission, name, None, UNMARKED, "trouble", hint)
        return self._mark(submission, name, None, UNMARKED, *self._unheard(runs.end))

    def _fair(self, mark: Mark, name: str, runs: "Runs") -> Mark:
        """The mark, unless it failed for want of a cell that a limit had stopped."""
        if mark.status != "not yet":
            return mark
        if "MemoryError" in mark.hint:
            key, hint = "memory", self._too_large()
            return replace(mark, points=None, status=UNMARKED, key=key, hint=hint)
        last = max(runs.places(name))
        stopped = [number for number, end in runs.ended.items()
                   if end.why != "left" and (number < last or last == GONE)]
        if not stopped:
            return mark
        hint = f"{mark.hint}\nCell {stopped[0] + 1} before it was stopped, and is left out."
        if mark.key not in ("raises", "cell_error"):
            return replace(mark, hint=hint)
        _, why = self._unheard(runs.ended[stopped[0]])
        return replace(mark, points=None, status=UNMARKED, hint=f"{hint} {why}")

    def _answer(self, submission: Submission, name: str, answer: Answer, runs: "Runs") -> Mark:
        if answer.end is not None:
            return self._ended(submission, name, answer.end)
        if answer.did is None:
            hint = "No answer is left in the notebook: its cell is gone."
            return self._mark(submission, name, 0, "not attempted yet", "missing", hint)
        try:
            mark = self._judged(submission, name, answer)
        except Exception as error:  # data of any kind comes this way
            hint = ("What came back from the student's process is not what the course's code "
                    f"sends ({type(error).__name__}). Look at the notebook.")
            return self._mark(submission, name, None, UNMARKED, "odd_report", hint)
        error = runs.errors.get(answer.place)
        if error and mark.status == "not yet":
            mark = replace(mark, hint=f"{mark.hint}\nIts cell stops: {error}")
        return mark

    def _judged(self, submission: Submission, name: str, answer: Answer) -> Mark:
        """The mark of an answer that ran, by what it did."""
        task = exercise(name)
        with self.judging:
            if name not in self.cases:
                self.cases[name] = task.cases(np.random.default_rng(self.seed))
            parts = [(self.cases[name], answer.did)]
            if self.hidden.get(name):
                parts.append((self.hidden[name], answer.hidden))
            results = []
            for cases, did in parts:
                report = wire.unpack_report(did, len(cases))
                unmarked = self._held_up(report)
                if unmarked:
                    return self._mark(submission, name, None, UNMARKED, *unmarked)
                results.append(judge(task, cases, report))
                if not results[-1].solved:
                    break
        solved = all(result.solved for result in results)
        return self._from(submission, results[0 if solved else -1])

    def _held_up(self, report: Report) -> tuple[str, str] | None:
        """Key and hint, if a limit and not the answer decided."""
        if report.stopped in ("late", "stuck"):
            return "late", f"{self._stopped()} Does a loop in the function never end?"
        if report.stopped:
            return "late", "Interrupted, not marked: run again."
        errors = [outcome.error for outcome in report.outcomes if outcome.error]
        if any("MemoryError" in e.kinds or "allocate memory" in e.message for e in errors):
            return "memory", self._too_large()
        return None

    def _ended(self, submission: Submission, name: str, end: End) -> Mark:
        """The mark of an exercise at which its process was ended."""
        if end.why == "left" and end.status is not None and end.status >= 0:
            return self._mark(submission, name, 0, "not yet", "ends_process", LEFT)
        return self._mark(submission, name, None, UNMARKED, *self._unheard(end))

    def _unheard(self, end: End) -> tuple[str, str]:
        """Key and hint for what a limit kept from being marked."""
        limits = self.limits
        whole = self._stopped(limits.whole)
        return {
            "seconds": ("late", self._stopped()),
            "whole": ("late", whole),
            "memory": ("memory", self._too_large()),
            "disk": ("disk", f"Stopped after it had written over {limits.disk >> 20} MB or very "
                             "many files, not marked: look at the notebook."),
            "processes": ("processes", f"Stopped with more than {limits.processes} processes, not "
                                       "marked: look at the notebook."),
            "sent": ("sent", "Stopped because it sent too much or nothing readable to the grader, "
                             "not marked: look at the notebook."),
            "left": ("killed", "Its process was killed: from outside, by itself, or by a crash in "
                               "a library; not marked: look at the notebook."),
        }.get(end.why, ("stopped", "Stopped several times, not marked: look at the notebook."))

    def _stopped(self, seconds: float | None = None) -> str:
        more = f"run again with --seconds {5 * self.limits.seconds:g}"
        return f"Stopped after {seconds or self.limits.seconds:g} s, not marked: {more}."

    def _too_large(self) -> str:
        size = self.limits.memory / 2**30
        return f"Stopped at {size:.2g} GB, not marked: run again with --memory {2 * size:.2g}."

    def _from(self, submission: Submission, result: Result) -> Mark:
        return self._mark(submission, result.name, result.points, result.status, result.key,
                          result.message)

    def _mark(self, submission, name, points, status, key, hint) -> Mark:
        return Mark(submission.student, name, points, exercise(name).points, status, key, hint)


class Runs:
    """The runs of one notebook: as many as it takes, each without the cell that ended another."""

    def __init__(self, submission: Submission, course: Course, marker: Marker, place: Cold,
                 folder: Path):
        self.submission, self.course, self.marker = submission, course, marker
        self.place, self.folder = place, folder
        self.asks = submission.asks(course)
        self.heard: dict[tuple[int, str], Answer] = {}
        self.errors: dict[int, str] = {}  # by cell: what it stopped with
        self.ended: dict[int, End] = {}  # by cell: how it ended its process
        self.trouble = ""
        self.left = marker.limits.whole  # seconds, all runs together
        self.end = End("stopped")

    def all(self) -> None:
        for _ in range(RUNS):
            self.end = self._run()
            if self.end.why in ("", "whole") or self.trouble:
                return
            kind, *at = self.end.at or ("", 0)
            if kind == "cell":
                self.ended[at[0]] = self.end
            elif kind == "exercise" and (at[1], at[0]) not in self.heard:
                self.heard[at[1], at[0]] = Answer(at[1], end=self.end)

    def _run(self) -> End:
        """One run in a folder of its own, which is deleted after it."""
        self.folder.mkdir()
        try:
            for path in beside(self.submission):
                if path.stat().st_size < self.marker.limits.disk // 4:
                    copyfile(path, self.folder / path.name)
            return self._watched(self._job())
        finally:
            if not keeper.delete(self.folder):  # stays behind; the next run has another
                self.folder = self.folder.with_name(self.folder.name + "x")

    def _watched(self, job: Job) -> End:
        watch = Watch(self.place, job, self.marker.limits, self._hear, self.left)
        for last in (False, True):  # a job before may have hurt the warm process: once more
            try:
                end = watch.run()
                self.left = watch.left
                return end
            except OSError as error:
                self.place.close()
                if last:
                    raise KeeperError(f"no process can be started: {error}") from None
        raise AssertionError

    def _job(self) -> Job:
        limits = self.marker.limits
        return Job(
            folder=str(self.folder),
            cells=[(c.number, c.source) for c in self.submission.cells
                   if c.number not in self.ended],
            asks=self.asks,
            done=set(self.heard),
            settled={name for (_, name), answer in self.heard.items() if answer.settled()},
            hidden={n: self.marker.sent[n] for n in self.course.answers if n in self.marker.sent},
            seed=self.marker.seed,
            seconds=limits.seconds,
            memory=limits.memory,
            disk=limits.disk,
            processes=limits.processes,
        )

    def _hear(self, message: dict) -> None:
        """Note a message. Whatever is none of the course's is passed over."""
        name, place = message.get("report", message.get("missing")), message.get("place")
        known = isinstance(place, int) and isinstance(name, str) and any(
            ask.name == name for ask in self.asks.get(place, []))
        if known and "report" in message:
            answer = Answer(place, message.get("did"), message.get("hidden"))
            self.heard.setdefault((place, name), answer)
        elif known:
            self.heard.setdefault((place, name), Answer(place))
        elif isinstance(message.get("error"), int) and isinstance(message.get("text"), str):
            if len(self.errors) < 5000:
                self.errors[message["error"]] = message["text"][:1000]
        elif isinstance(message.get("trouble"), str):
            self.trouble = message["trouble"][:1000]

    def places(self, name: str) -> list[int]:
        return [place for place, asks in self.asks.items() if any(a.name == name for a in asks)]

    def answers(self, name: str) -> list[Answer]:
        """What was heard of an exercise, in the notebook's order."""
        places = sorted(self.places(name), key=lambda p: (p == GONE, p))
        found = []
        for place in places:
            if place in self.ended:
                found.append(Answer(place, end=self.ended[place]))
            elif (place, name) in self.heard:
                found.append(self.heard[place, name])
        return found


# ---- hidden tests --------------------------------------------------------------------------------


def hidden_cases(folder: Path, seed: int = SEED) -> dict[str, list]:
    """The cases of a folder of hidden tests, {exercise: cases}. Raises GradingError."""
    paths = sorted(folder.glob("ex[0-9][0-9]*.py"))
    if not paths:
        raise GradingError(f"{folder}: no hidden tests there; they are called ex01.py, ex02_b.py …")
    found: dict[str, list] = {}
    for path in paths:
        for name, cases in _declared(path).items():
            try:
                found.setdefault(name, []).extend(_drawn(name, cases, seed))
            except Exception as error:  # the instructor's own file: say where, and what
                raise GradingError(f"{path}, {name}: {type(error).__name__}: {error}") from None
    return found


def _declared(path: Path) -> dict:
    """CASES of a file, which is run but not made known as a module: it stays in this process."""
    spec = importlib.util.spec_from_file_location(f"hidden_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return dict(module.CASES)
    except Exception as error:
        raise GradingError(f"{path}: {type(error).__name__}: {error}") from None


def _drawn(name: str, cases: Callable, seed: int) -> list:
    """The hidden cases of one exercise, each tried for whether it can be sent and judged."""
    task = exercise(name)
    if task.oracle is None or task.value:
        raise ValueError("is judged by its properties: hidden cases are for exercises with an "
                         "oracle; other cases of the course's own come with --seed")
    drawn = list(cases(np.random.default_rng(seed)))
    for case in drawn:
        _, raised = attempt(task.oracle, pickle.loads(pickle.dumps(case.args)))
        if raised not in (None, "ValueError"):
            raise ValueError(f"the oracle itself raises {raised} on {case.label!r}")
    return drawn
