"""Answers to every exercise, right and wrong, and the table of what `check` makes of them.

A file a lesson (`ex01.py`), each with three tables by the exercise's short name:

    STUBS   the blank stub
    WRONG   [(answer, key of the hint that is meant for it), …], at least five
    VALID   [answer, …], at least two
"""

import importlib
from typing import NamedTuple

from segutils.exercises import check, exercises

MIN_WRONG, MIN_VALID = 5, 2


class Row(NamedTuple):
    """One exercise: how many answers were taken as they should be, of how many."""

    name: str
    blank: bool
    refused: int
    wrong: int
    accepted: int
    valid: int
    faults: tuple[str, ...]


def row(name: str) -> Row:
    """Check all answers to one exercise; every surprise is a line in `faults`."""
    lesson, _, short = name.partition(".")
    answers = importlib.import_module(f".{lesson}", __package__)
    stub = check(name, answers.STUBS[short], quiet=True)
    faults = [] if stub.key == "blank" else [f"{name}: the stub is {stub.status!r} ({stub.key})"]
    refused = accepted = 0
    for answer, key in answers.WRONG[short]:
        result = check(name, answer, quiet=True)
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
