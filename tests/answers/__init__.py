"""Answers to every exercise, right and wrong, and the table of what `check` makes of them.

A file a lesson (`ex01.py`), each with three tables by the exercise's short name:

    STUBS   the blank stub
    WRONG   [(answer, key of the hint that is meant for it), …], at least five
    VALID   [answer, …], at least two
"""

import functools
import importlib
from typing import NamedTuple

from segutils.exercises import Result, check, exercises

MIN_WRONG, MIN_VALID = 5, 2
PLAIN = {"raises", "type", "values", "shape", "letters", "words"}  # facts about one answer


class Row(NamedTuple):
    """One exercise: how many answers were taken as they should be, of how many."""

    name: str
    blank: bool
    refused: int
    wrong: int
    accepted: int
    valid: int
    faults: tuple[str, ...]


def answers_to(name: str):
    """The module with the answers to an exercise, and its short name in that module's tables."""
    lesson, _, short = name.partition(".")
    return importlib.import_module(f".{lesson}", __package__), short


@functools.cache
def results(name: str) -> list[Result]:
    """What `check` makes of each wrong answer to an exercise."""
    answers, short = answers_to(name)
    return [check(name, answer, quiet=True) for answer, _ in answers.WRONG[short]]


def told(name: str) -> dict[str, str]:
    """The known mistakes of an exercise, each with what a student is told, for INSTRUCTORS.md."""
    found = {result.key: result.message for result in reversed(results(name))}
    return {key: message for key, message in reversed(found.items()) if key not in PLAIN}


def row(name: str) -> Row:
    """Check all answers to one exercise; every surprise is a line in `faults`."""
    answers, short = answers_to(name)
    stub = check(name, answers.STUBS[short], quiet=True)
    faults = [] if stub.key == "blank" else [f"{name}: the stub is {stub.status!r} ({stub.key})"]
    refused = accepted = 0
    for (answer, key), result in zip(answers.WRONG[short], results(name), strict=True):
        if not result.solved and result.key == key and result.message and not result.points:
            refused += 1
        else:
            faults.append(f"{name}: {_called(answer)} meets {result.key!r}, meant was {key!r}")
    for answer in answers.VALID[short]:
        result = check(name, answer, quiet=True)
        accepted += result.solved
        if not result.solved:
            faults.append(f"{name}: {_called(answer)} is refused: {result.message}")
    wrong, valid = len(answers.WRONG[short]), len(answers.VALID[short])
    if wrong < MIN_WRONG or valid < MIN_VALID:
        faults.append(f"{name}: {MIN_WRONG} wrong and {MIN_VALID} valid answers are needed")
    return Row(name, stub.key == "blank", refused, wrong, accepted, valid, tuple(faults))


def rows() -> list[Row]:
    """One row for every exercise there is."""
    return [row(exercise.name) for exercise in exercises()]


def table(found: list[Row]) -> str:
    """The rows as text, their faults below."""
    width = max(len(row.name) for row in found)
    lines = [f"{'exercise':{width}}  stub   wrong ones refused  valid ones accepted"]
    for r in found:
        stub = "blank" if r.blank else "TAKEN"
        refused, accepted = f"{r.refused}/{r.wrong}", f"{r.accepted}/{r.valid}"
        lines.append(f"{r.name:{width}}  {stub}  {refused:>18}  {accepted:>19}")
    refused = f"{sum(r.refused for r in found)}/{sum(r.wrong for r in found)}"
    accepted = f"{sum(r.accepted for r in found)}/{sum(r.valid for r in found)}"
    lines.append(f"{'all':{width}}         {refused:>18}  {accepted:>19}")
    return "\n".join(lines + [fault for r in found for fault in r.faults])


def _called(answer) -> str:
    return getattr(answer, "__name__", None) or repr(answer)[:60]
