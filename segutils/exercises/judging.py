"""Judges what an answer did. It sees plain data alone, so it can sit in another process."""

import copy
from dataclasses import dataclass

import numpy as np

from segutils.exercises.calling import Odd, Outcome, Report
from segutils.exercises.declare import Case, Exercise, Problem

TOLERANCE = {"float16": 1e-2, "float32": 1e-4}  # by the answer's own precision; else 1e-6


@dataclass(frozen=True)
class Result:
    """What `check` found. It asserts nothing: read `solved`.

    status is "solved", "not yet" or "not attempted yet"; points is 0 unless solved; key names the
    mistake for tables ("" when there is none); message is what the student reads.
    """

    name: str
    title: str
    status: str
    points: int
    of: int
    key: str = ""
    message: str = ""

    @property
    def solved(self) -> bool:
        return self.status == "solved"

    def __repr__(self) -> str:
        return f"<{self.name}: {self.status}, {self.points} of {self.of} points>"

    def _ipython_display_(self) -> None:
        """Show nothing more at a cell's end: `check` has shown its box already."""


def judge(exercise: Exercise, cases: list[Case], report: Report) -> Result:
    """The verdict on what the answer did. Pure: the same report gives the same result."""
    if report.blank:
        return _result(exercise, "not attempted yet", "blank", "Not attempted yet.")
    problem = _stopped(exercise, report, cases) or _wrong(exercise, cases, report.outcomes)
    changed = any(outcome.changed for outcome in report.outcomes)
    if problem is None and changed:
        problem = Problem(
            "changes_inputs",
            "The results are right, but your function changes the arrays that it is given: "
            "the caller's own data are then different afterwards. Work on a copy.",
        )
    elif changed:
        problem = Problem(problem.key, problem.hint + " (It also changes its inputs.)")
    notes = _printed(report)
    if problem is None:
        return _result(exercise, "solved", "", f"Right on all {_count(cases)}.{notes}")
    return _result(exercise, "not yet", problem.key, problem.hint + notes)


def _result(exercise: Exercise, status: str, key: str, message: str) -> Result:
    points = exercise.points if status == "solved" else 0
    return Result(exercise.name, exercise.title, status, points, exercise.points, key, message)


def _count(cases: list[Case]) -> str:
    return "counts" if len(cases) == 1 else f"{len(cases)} cases"


def _printed(report: Report) -> str:
    if not report.printed and not report.more_printed:
        return ""
    cut = f"\n… and {report.more_printed} more lines, cut" if report.more_printed else ""
    return f"\nYour code printed:\n{report.printed}{cut}"


def _stopped(exercise: Exercise, report: Report, cases: list[Case]) -> Problem | None:
    """The problem of an answer that could not be called, or did not come back."""
    if report.not_callable:
        called = "give check the function itself, its name without brackets and arguments."
        return Problem("not_callable", f"This is a value of type {report.not_callable}: {called}")
    if report.stopped == "interrupted":
        return Problem("interrupted", "Interrupted before it was done.")
    if not report.stopped:
        return None
    at = cases[min(len(report.outcomes), len(cases) - 1)].label
    hint = f"On {at}, it was not done after {report.limit:g} s: does a loop never end?"
    if report.stopped == "stuck":
        hint += " It could not be stopped and still runs: restart the kernel."
    return Problem("late", hint)


def _wrong(exercise: Exercise, cases: list[Case], outcomes: list[Outcome]) -> Problem | None:
    """What is wrong with the results: a known mistake if one explains them, else a plain fact."""
    failing = []
    for case, outcome in zip(cases, outcomes, strict=True):
        problem = verdict(exercise, case, outcome)
        if problem is not None:
            failing.append((case, outcome, problem))
    if not failing:
        return _examined(exercise, cases, outcomes)
    found = [sum(_explains(exercise, m, c, o) for c, o, _ in failing) for m in exercise.mistakes]
    if found and max(found) > 0:
        mistake = exercise.mistakes[found.index(max(found))]
        return Problem(mistake.key, mistake.hint)
    case, _, problem = failing[0]
    label = "" if exercise.value else f"On {case.label}: "
    return Problem(problem.key, label + problem.hint)


def _examined(exercise: Exercise, cases: list[Case], outcomes: list[Outcome]) -> Problem | None:
    """What `examine` says about all results; one that it cannot read is of the wrong type."""
    if exercise.examine is None:
        return None
    calls = [(case.args, outcome.value) for case, outcome in zip(cases, outcomes, strict=True)]
    try:
        return exercise.examine(calls)
    except Exception:  # a result of any shape and type comes this way
        return Problem("type", "The result is not of the kind that the task asks for.")


def verdict(exercise: Exercise, case: Case, outcome: Outcome) -> Problem | None:
    """What is wrong with one call, in plain facts; None if nothing is (or `examine` decides)."""
    expected, must_raise = None, None
    if exercise.examine is None:
        expected, must_raise = attempt(exercise.oracle, case.args)
    if outcome.error is not None:
        if must_raise and must_raise in outcome.error.kinds:
            return None
        wanted = f". A {must_raise} is asked for here." if must_raise else ""
        return Problem("raises", _raised(outcome) + wanted)
    if must_raise:
        return Problem("no_error", f"a {must_raise} should be raised, but a result came back.")
    problem = _unusable(outcome.value)
    if problem or exercise.examine is not None:
        return problem
    try:
        return (exercise.compare or difference)(outcome.value, expected)
    except Exception:  # as above
        return Problem("type", "the result is not of the kind that the task asks for.")


def attempt(function, args: tuple) -> tuple[object, str | None]:
    """(result, None), or (None, name of the exception), of a function of ours on a copy."""
    try:
        return function(*copy.deepcopy(args)), None
    except Exception as raised:
        return None, type(raised).__name__


def _raised(outcome: Outcome) -> str:
    error = outcome.error
    where = f" ({error.where})" if error.where else ""
    if error.kind == "SystemExit":
        return f"your code calls exit{where}. Return the result instead."
    if error.kind == "RecursionError":
        return f"your function calls itself without an end{where}."
    message = f": {error.message}" if error.message else ""
    return f"your code raised {error.kind}{message}{where}"


def _unusable(value) -> Problem | None:
    """The problem of a result that can be no answer to anything."""
    if value is None or value is ...:
        return Problem("no_return", "nothing comes back (None): is the return missing?")
    if isinstance(value, Odd):
        return Problem("type", f"this is {value.what}: the values themselves are needed.")
    if isinstance(value, (list, tuple)):
        problem = next(filter(None, map(_unusable, value)), None)
        if problem and problem.key == "no_return":
            return Problem("no_return", "there is a None among the results: no value at all.")
        return problem
    return None


def _explains(exercise: Exercise, mistake, case: Case, outcome: Outcome) -> bool:
    """Whether a known mistake would have done what the answer did on this failing call."""
    error = outcome.error
    if error is not None:
        here = mistake.when is None or mistake.when(case.args, None)
        return here and mistake.raised in error.kinds and mistake.says in error.message
    if mistake.raised or _unusable(outcome.value):
        return False
    if mistake.when is not None:
        try:
            return bool(mistake.when(case.args, outcome.value))
        except Exception:  # a result of any shape and type comes this way
            return False
    if mistake.like is None:
        return False
    value, kind = attempt(mistake.like, case.args)
    if kind or difference(outcome.value, value) is not None:
        return False
    right, must_raise = attempt(exercise.oracle, case.args)
    return bool(must_raise) or difference(value, right) is not None


def difference(got, expected) -> Problem | None:
    """How a result differs from the expected one, in one line; None if it does not.

    Arrays, numbers and lists are compared by shape and value: whole numbers exactly, floats
    within the precision of the answer's own type. Tuples are compared item by item.
    """
    problem = _unusable(got)
    if problem:
        return problem
    if isinstance(expected, tuple):
        return _each(got, expected)
    if isinstance(expected, (set, frozenset, str, dict)):
        return _exact(got, expected)
    return _arrays(got, np.asarray(expected))


def _each(got, expected: tuple) -> Problem | None:
    if isinstance(got, np.ndarray) and got.ndim == 1:
        got = list(got)  # a row of numbers in an array will do for a tuple of them
    if not isinstance(got, (tuple, list)) or len(got) != len(expected):
        return Problem("type", f"{len(expected)} results are needed, in a tuple.")
    for place, (mine, right) in enumerate(zip(got, expected, strict=True), 1):
        problem = difference(mine, right)
        if problem:
            return Problem(problem.key, f"result {place} of {len(expected)}: {problem.hint}")
    return None


def _exact(got, expected) -> Problem | None:
    if isinstance(expected, (set, frozenset)) and isinstance(got, (set, list, tuple)):
        try:
            got = set(got)
        except TypeError:
            return Problem("type", "the items cannot stand in a set.")
    if isinstance(expected, dict) and isinstance(got, dict):
        if got.keys() != expected.keys():
            return Problem("values", f"the keys {sorted(expected, key=str)} are needed.")
        return next(filter(None, (difference(got[k], expected[k]) for k in expected)), None)
    if type(got) is not type(expected):
        kinds = f"{type(got).__name__}, but a {type(expected).__name__} is needed."
        return Problem("type", f"this is a value of type {kinds}")
    return None if got == expected else Problem("values", "this is not it yet.")


def _arrays(got, expected: np.ndarray) -> Problem | None:
    if isinstance(got, (dict, set)):
        return Problem("type", f"numbers are needed, and this is a {type(got).__name__}.")
    try:
        got = np.asarray(got)
    except ValueError:
        if isinstance(got, tuple):
            return Problem("type", f"{len(got)} results come back, and one is needed.")
        return Problem("type", "the rows have different lengths: this is no array.")
    if got.dtype.kind not in "biuf":
        return Problem("type", f"numbers are needed, and this is {_what(got)}.")
    if got.shape != expected.shape and not (got.size == expected.size == 1):
        return Problem("shape", f"the shape is {got.shape}, but {expected.shape} is needed.")
    got = got.reshape(expected.shape)
    if np.isnan(got).any() and not np.isnan(np.asarray(expected, float)).any():
        return Problem("nan", "there is a NaN in the result: is something divided by 0?")
    if expected.dtype.kind == "f":
        tolerance = TOLERANCE.get(got.dtype.name, 1e-6)
        wrong = ~np.isclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        wrong = got != expected
    if not wrong.any():
        return None
    if got.ndim == 0:
        return Problem("values", f"{_number(got)} is not it yet.")
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    first = f"the first at {list(place)}, where yours is {_number(got[place])}"
    return Problem("values", f"{int(wrong.sum())} of {wrong.size} values differ, {first}.")


def _number(value: np.ndarray) -> str:
    """A number as a student may compare it with a right one: whole ones in full."""
    number = value.item()
    return f"{number:.6g}" if isinstance(number, float) else str(number)


def _what(array: np.ndarray) -> str:
    return "text" if array.dtype.kind in "US" else f"of type {array.dtype}"


def whole_ids(got, expected) -> Problem | None:
    """`difference`, for masks: the values must be right, and of a whole-number dtype."""
    problem = difference(got, expected)
    if problem is None and np.asarray(got).dtype.kind == "f":
        name = np.asarray(got).dtype
        return Problem(
            "float_ids",
            f"the values are right, but they are {name}: an id counts classes, and an array "
            "of ids that is float will one day hold 1.5. Give it a whole-number dtype.",
        )
    return problem


def name_the_broken(answer, letters, broken, hints) -> Problem | None:
    """What is wrong with a set of letters that should be those of `broken`; None if nothing is.

    `hints` holds the words for "letters" (one that is none of `letters`), "intact_ones", "all",
    "none", and for each letter "missed_B" where it is broken, else "accused_A".
    """
    answer = [a for a in answer if a.isalnum()] if isinstance(answer, str) else answer
    if not isinstance(answer, (set, list, tuple)) or not all(isinstance(a, str) for a in answer):
        return Problem("type", 'A set of letters is needed, such as {"A", "F"}.')
    named, letters = {a.strip().upper() for a in answer}, set(letters)
    wrong = [("letters", named - letters), ("none", not named), ("all", named == letters),
             ("intact_ones", named == letters - broken)]
    wrong += [(f"missed_{letter}", letter not in named) for letter in sorted(broken)]
    wrong += [(f"accused_{letter}", letter not in broken) for letter in sorted(named)]
    return next((Problem(key, hints[key]) for key, holds in wrong if holds), None)
