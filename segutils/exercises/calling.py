"""Calls an answer so that nothing it does takes the notebook down.

The answer runs in a thread of its own, on copies of the inputs, with what it prints caught. When
the time is up an exception is raised inside it, which ends any Python loop; `check` returns in
every case. Three things cannot be stopped from inside one process: a long call into compiled code
(the thread is left to finish, and the message says so), a loop that swallows every exception
(the same), and code that ends the process (`os._exit`, `exit()` of IPython, a crash in a
library). Grading runs each submission in a process of its own for that reason.

What comes back is plain data (arrays, numbers, text, containers of them), so that it can be sent
to another process and judged there.
"""

import ast
import contextlib
import copy
import ctypes
import dis
import inspect
import io
import linecache
import os
import re
import sys
import sysconfig
import textwrap
import threading
import time
import traceback
from dataclasses import dataclass, field
from types import GeneratorType
from typing import NamedTuple

import numpy as np

LIMIT = 20.0  # seconds for one whole check: far above what any right answer takes
GRACE = 1.0  # seconds that a stopped answer has to end


class Odd(NamedTuple):
    """Stands for a result that is no plain data: `what` says what it was."""

    what: str


class Failure(NamedTuple):
    """An exception of the answer: its type's name and those it derives from, and where."""

    kind: str
    kinds: tuple[str, ...]
    message: str
    where: str


class Outcome(NamedTuple):
    """What one call did: a result as plain data or a failure, and whether inputs changed."""

    value: object = None
    error: Failure | None = None
    changed: bool = False


@dataclass
class Report:
    """What the answer did on all cases. `stopped` is "", "late", "stuck" or "interrupted"."""

    outcomes: list[Outcome] = field(default_factory=list)
    blank: bool = False
    not_callable: str = ""
    stopped: str = ""
    limit: float = LIMIT
    printed: str = ""
    more_printed: int = 0


class TimeUp(SystemExit):
    """Raised inside an answer whose time is up; threads end on SystemExit without a message."""


class Screen(io.TextIOBase):
    """A stream that keeps the first characters and counts the lines of the rest."""

    def __init__(self, room: int = 600, lines: int = 8):
        self.room, self.lines = room, lines
        self.kept: list[str] = []
        self.cut = 0
        self.cut_text = False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        text = str(text)
        for piece in text.splitlines(keepends=True):
            if self.room >= len(piece) and self.lines > 0:
                self.kept.append(piece)
                self.room -= len(piece)
                self.lines -= piece.endswith("\n")
            else:
                self.room = 0
                self.cut_text = True
                self.cut += piece.endswith("\n")
        return len(text)

    def text(self) -> str:
        return "".join(self.kept).rstrip("\n")

    def more(self) -> int:
        """Lines that were cut; at least 1 when anything was."""
        return max(self.cut, int(self.cut_text))


def plain(value):
    """`value` as plain data: tensors and images become arrays, anything odd becomes `Odd`."""
    if value is None or value is Ellipsis or isinstance(value, (bool, int, float, complex, str)):
        return value
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return {plain(v) for v in value}
    if isinstance(value, (list, tuple)):
        items = [plain(v) for v in value]
        return tuple(items) if isinstance(value, tuple) else items
    array = as_array(value)
    if array is not None:
        return plain(array.tolist()) if array.dtype.kind == "O" else array
    if isinstance(value, GeneratorType):
        return Odd("a generator")
    if callable(value):
        return Odd("a function or a class")
    return Odd(f"an object of type {type(value).__name__}")


def as_array(value) -> np.ndarray | None:
    """A copy of an array, tensor or image as a NumPy array; None for anything else."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
        return np.array(value.numpy())
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__")):  # PIL's: latter
        return np.array(value)
    return None


def as_tensors(args: tuple) -> tuple:
    """The arrays among `args` as tensors, and the tensors as arrays."""
    import torch

    def other(value):
        if isinstance(value, torch.Tensor):
            return value.detach().numpy()
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    return tuple(other(copy.deepcopy(value)) for value in args)


def same_data(a, b) -> bool:
    """Whether two arguments hold the same; objects that are no data count as the same."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same_data, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same_data(a[k], b[k]) for k in a)
    x, y = as_array(a), as_array(b)
    if x is None or y is None:
        return a == b if isinstance(a, (int, float, str, set)) else True
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


def call_once(exercise, answer, args: tuple) -> Outcome:
    """One call on a copy of `args`; whatever it raises is recorded, but for TimeUp."""
    given = copy.deepcopy(args)
    try:
        value, error = plain(exercise.call(answer, *given)), None
    except TimeUp:
        raise
    except BaseException as raised:  # SystemExit and KeyboardInterrupt too: a call may do anything
        value, error = None, failure(raised)
    return Outcome(value, error, changed=not same_data(given, args))


def failure(raised: BaseException) -> Failure:
    """The exception as plain text, with the student's own line."""
    try:
        message = " ".join(str(raised).split())
    except Exception:
        message = ""
    message = re.sub(r" at 0x[0-9a-fA-F]+", "", message)
    kinds = tuple(kind.__name__ for kind in type(raised).__mro__)
    return Failure(kinds[0], kinds, textwrap.shorten(message, 200), own_line(raised))


def own_line(raised: BaseException) -> str:
    """The last line of the traceback that is the student's: "line 4 of your cell: `…`"."""
    paths = sysconfig.get_paths()
    libraries = (paths["stdlib"], paths["purelib"], paths["platlib"], os.path.dirname(__file__))
    libraries = (*libraries, os.path.dirname(os.path.dirname(__file__)), "<frozen", "<__array")
    found = ""
    for frame, line in traceback.walk_tb(raised.__traceback__):
        name = frame.f_code.co_filename
        if not name.startswith(libraries):
            file = os.path.basename(name) if os.path.exists(name) else "your cell"
            code = linecache.getline(name, line, frame.f_globals).strip()
            found = f"line {line} of {file}" + (f": {code}" if code else "")
    return found


def stub(answer) -> bool:
    """Whether a function still is the stub: nothing but a docstring, or its `...` in place."""
    code = getattr(answer, "__code__", None)
    if code is None:
        return False
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "POP_TOP", "CACHE"}
    if all(step.opname in idle for step in dis.get_instructions(code)):
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):
        return False
    blanks = (ast.Expr, ast.Assign, ast.Return)
    return any(
        isinstance(node, blanks)
        and isinstance(node.value, ast.Constant)
        and node.value.value is ...
        for node in ast.walk(tree)
    )


def empty(value) -> bool:
    """Whether a value still is the stub's: None, `...`, or a container that holds `...`."""
    if isinstance(value, dict):
        return any(map(empty, value.values()))
    if isinstance(value, (list, tuple, set)):
        return any(item is ... for item in value)
    return value is None or value is ...


def nothing(outcome: Outcome) -> bool:
    """Whether a call came back as an untouched stub's would (libraries say what they miss)."""
    error = outcome.error
    if error is None:
        return empty(outcome.value)
    return "ellipsis" in error.message or error.kind == "NotImplementedError" and not error.message


def interrupt(thread: threading.Thread, grace: float = GRACE) -> bool:
    """Raise TimeUp inside the thread until it ends; False if it did not."""
    until = time.monotonic() + grace
    while thread.is_alive() and time.monotonic() < until:
        target = ctypes.c_ulong(thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(target, ctypes.py_object(TimeUp))
        thread.join(0.05)
    return not thread.is_alive()


def run_all(exercise, answer, arguments: list[tuple], limit: float) -> Report:
    """Call the answer on every tuple of arguments, in a thread, for at most `limit` seconds."""
    report, screen = Report(limit=limit), Screen()

    def work():
        with contextlib.suppress(BaseException):
            for args in arguments:
                report.outcomes.append(call_once(exercise, answer, args))

    thread = threading.Thread(target=work, daemon=True)
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(Screen()):
        thread.start()
        until = time.monotonic() + limit
        try:
            while thread.is_alive() and time.monotonic() < until:
                thread.join(0.1)
            stopped = "late" if thread.is_alive() else ""
        except KeyboardInterrupt:
            stopped = "interrupted"
        if stopped and not interrupt(thread):
            stopped = "stuck"
    report.outcomes = list(report.outcomes)
    report.stopped, report.printed, report.more_printed = stopped, screen.text(), screen.more()
    return report


def collect(exercise, answer, cases, limit: float = LIMIT) -> Report:
    """What the answer does on the cases, judged by nobody yet; never raises.

    An answer written for the other of NumPy and torch, which fails on every case, is given its
    inputs in that form.
    """
    if empty(answer) if exercise.value or not callable(answer) else False:
        return Report(blank=True)
    if not exercise.value and not callable(answer):
        return Report(not_callable=type(answer).__name__)
    report = run_all(exercise, answer, [case.args for case in cases], limit)
    kinds = {outcome.error.kind if outcome.error else "" for outcome in report.outcomes}
    if not report.stopped and kinds and kinds <= {"TypeError", "AttributeError"}:
        swapped = run_all(exercise, answer, [as_tensors(case.args) for case in cases], limit)
        if any(outcome.error is None for outcome in swapped.outcomes):
            report = swapped
    if report.outcomes and all(map(nothing, report.outcomes)):
        errors = any(outcome.error for outcome in report.outcomes)
        report.blank = not report.stopped and (errors or stub(answer))
    return report
