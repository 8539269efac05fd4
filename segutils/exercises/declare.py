"""What an exercise is: a few plain records that a lesson's file fills in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

LEVELS = ("warm-up", "core", "stretch")


class Case(NamedTuple):
    """One call that the answer must get right: `answer(*args)`; `label` completes "On …"."""

    label: str
    args: tuple = ()


class Problem(NamedTuple):
    """What is wrong with an answer: a short key, for tables, and the hint that a student reads."""

    key: str
    hint: str


class Mistake(NamedTuple):
    """A known wrong way, and the hint that is meant for it.

    It is recognised by what the answer does, never by how it is written: `like(*args)` is the
    wrong algorithm itself, whose results are compared with the answer's; `when(args, got)` looks
    at the result of one failing call; `raised` names the exception that the mistake leads to
    (on the calls for which `when(args, None)` holds, if both are given), and `says` words of its
    message.
    """

    key: str
    hint: str
    like: Callable | None = None
    when: Callable | None = None
    raised: str = ""
    says: str = ""


def apply(answer, *args):
    """Call the answer, as most exercises do."""
    return answer(*args)


def itself(answer):
    """Take the answer as it is: for exercises that ask for a value."""
    return answer


@dataclass(frozen=True)
class Exercise:
    """One exercise. `cases` and one of `oracle` and `examine` decide what is right.

    name      "ex01.decode_rgb", as students write it in `check`
    aim       what a student can do after it, in one line: it completes "You can …"
    level     one of LEVELS
    points    whole points, all or none
    minutes   an estimate, and called one wherever it is shown
    cases     cases(rng) -> list of Case; drawn from `rng`, so that grading can draw others
    oracle    oracle(*args) -> the right result; an exception it raises is what must be raised
    examine   examine(calls) -> Problem or None, calls = [(args, result), …]: for questions with
              many right answers, judged by their properties
    compare   compare(got, expected) -> Problem or None; by default `judging.difference`
    mistakes  known wrong ways; the one that explains most of the failing calls is named
    hints     what `hint` says, one a time
    target    target() -> (caption, picture (H, W, 3) uint8 or None): the last hint
    call      call(answer, *args) -> result; runs in the student's process
    value     True where the answer is a value, not a function (then `call=itself`)
    """

    name: str
    title: str
    aim: str
    level: str
    points: int
    minutes: int
    cases: Callable
    hints: tuple[str, ...]
    target: Callable
    oracle: Callable | None = None
    examine: Callable | None = None
    compare: Callable | None = None
    mistakes: tuple[Mistake, ...] = ()
    call: Callable = apply
    value: bool = False


def one_case(rng) -> list[Case]:
    """The only case of an exercise that asks for a value."""
    return [Case("your answer")]
