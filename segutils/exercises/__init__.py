"""Exercises: `check` tells a student what is wrong with an answer, `hint` helps on.

    from segutils.exercises import check, hint

    check("ex01.decode_rgb", decode_rgb)
    hint("ex01.decode_rgb")

A lesson's exercises stand in one file, `ex01.py` for lesson 01, as a tuple EXERCISES. To judge
elsewhere than where the answer runs (grading does), use the two halves of `check`: `collect` in
the student's process, `judge` in one's own.
"""

import importlib
from collections import Counter

import numpy as np

from segutils.exercises.calling import LIMIT, collect
from segutils.exercises.declare import Exercise
from segutils.exercises.judging import Result, judge
from segutils.exercises.showing import show_hint, show_result

__all__ = ["check", "exercise", "exercises", "hint", "Result"]

LESSONS = {
    "ex00": "segutils.exercises.ex00",
    "ex01": "segutils.exercises.ex01",
    "ex02": "segutils.exercises.ex02",
    "ex03": "segutils.exercises.ex03",
    "ex04": "segutils.exercises.ex04",
    "ex05": "segutils.exercises.ex05",
    "ex06": "segutils.exercises.ex06",
    "ex08": "segutils.exercises.ex08",
}
SEED = 0  # of the cases that students see; grading draws its own

_asked: Counter = Counter()


def exercises(lesson: str | None = None) -> list[Exercise]:
    """The exercises of one lesson ("ex01"), or all of them in order."""
    lessons = LESSONS if lesson is None else [lesson]
    return [e for key in lessons for e in importlib.import_module(LESSONS[key]).EXERCISES]


def exercise(name: str) -> Exercise:
    """The exercise of that name. Raises ValueError with the names there are."""
    lesson = str(name).partition(".")[0]
    if lesson not in LESSONS:
        raise ValueError(f"no exercise {name!r}: the lessons with exercises are {list(LESSONS)}")
    found = {e.name: e for e in exercises(lesson)}
    if name not in found:
        raise ValueError(f"no exercise {name!r}: {lesson} has {list(found)}")
    return found[name]


def check(name: str, answer, *, seed: int = SEED, limit: float = LIMIT, quiet=False) -> Result:
    """Check an answer (a function, an array, a number, a set …) and show what was found.

    The answer may use NumPy or torch, loops or vectors, and any float type. Whatever it does,
    `check` returns: it raises ValueError only for an exercise that does not exist. `limit` is in
    seconds and only there for loops that never end.
    """
    task = exercise(name)
    cases = task.cases(np.random.default_rng(seed))
    result = judge(task, cases, collect(task, answer, cases, limit))
    if not quiet:
        show_result(result)
    return result


def hint(name: str) -> None:
    """Show the next hint; the last one is the target itself, as a picture or a number."""
    task = exercise(name)
    total = len(task.hints) + 1
    _asked[name] = min(_asked[name] + 1, total)
    place = _asked[name]
    if place < total:
        show_hint(name, place, total, task.hints[place - 1])
    else:
        show_hint(name, place, total, *task.target())
