"""What a student's process sends to the grader: JSON and the bytes of arrays, and nothing else.

Nothing that arrives can run, or answer for itself. `pack` makes values of their exact types out of
whatever there is, subclasses included; `unpack` refuses everything that `pack` does not make.
"""

import base64
import json
import struct
from typing import BinaryIO

import numpy as np

from segutils.exercises.calling import Failure, Odd, Outcome, Report

KINDS = "biufcUS"  # of arrays: no objects, no records
LARGEST = 16 * 2**20  # bytes of one array, or characters of a text
DIGITS = 4000  # of a whole number
STOPS = ("", "late", "stuck", "interrupted")


class Refused(ValueError):
    """What arrived is nothing that the course's own code sends."""


def pack(value) -> object:
    """A value as JSON can hold it; what is no plain data becomes the words for it."""
    try:
        return _pack(value)
    except RecursionError:
        raise
    except Exception:  # an object may do anything when it is looked at
        return {"odd": f"an object of type {type(value).__name__}"}


def _pack(value):
    kind = type(value)  # never isinstance, which asks the object
    if value is None or kind is bool:
        return value
    if value is ...:
        return {"dots": 0}
    if kind is Odd:
        return {"odd": str.__str__(value.what)[:200]}
    if issubclass(kind, int):
        number = int.__int__(value)
        return number if number.bit_length() < 3 * DIGITS else {"odd": "a gigantic number"}
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, complex):
        number = complex.__complex__(value)
        return {"complex": [number.real, number.imag]}
    if issubclass(kind, str):
        text = str.__str__(value)
        return text if len(text) <= LARGEST else {"odd": f"a text of {len(text)} characters"}
    if issubclass(kind, np.ndarray):
        return _array(np.array(value, subok=False))
    if issubclass(kind, dict):
        return {"dict": [[pack(k), pack(v)] for k, v in dict.items(value)]}
    for parent, name in ((list, "list"), (tuple, "tuple"), (set, "set"), (frozenset, "set")):
        if issubclass(kind, parent):
            return {name: [pack(item) for item in parent.__iter__(value)]}
    return {"odd": f"an object of type {kind.__name__}"}


def _array(array: np.ndarray):
    if array.dtype.kind not in KINDS or not array.dtype.itemsize:
        return {"odd": f"an array of {array.dtype}"}
    if array.nbytes > LARGEST:
        return {"odd": f"an array of {array.nbytes / 1e6:.0f} MB, shape {array.shape}"}
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {"array": [array.dtype.str, list(array.shape), data]}


def unpack(packed) -> object:
    """The value that `pack` was handed. Raises Refused."""
    if packed is None or isinstance(packed, (bool, int, float, str)):
        return packed
    if not isinstance(packed, dict) or len(packed) != 1:
        raise Refused("no value")
    ((kind, content),) = packed.items()
    try:
        return _UNPACK[kind](content)
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise Refused(f"{kind}: {type(error).__name__}") from None


def _unpack_array(content) -> np.ndarray:
    name, shape, data = content
    dtype = np.dtype(str(name))
    if dtype.kind not in KINDS or not dtype.itemsize or not all(
        type(n) is int and n >= 0 for n in shape
    ):
        raise Refused("an array that cannot be")
    data = base64.b64decode(data, validate=True)
    if not data:
        return np.empty(_none(shape), dtype)
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _none(shape) -> list[int]:
    """A shape without any element."""
    if 0 not in shape or max(shape) > LARGEST:
        raise Refused("an array that cannot be")
    return shape


_UNPACK = {
    "dots": lambda content: ...,
    "odd": lambda content: Odd(text(content, 200)),
    "complex": lambda content: complex(*content),
    "array": _unpack_array,
    "dict": lambda content: {unpack(k): unpack(v) for k, v in content},
    "list": lambda content: [unpack(item) for item in content],
    "tuple": lambda content: tuple(unpack(item) for item in content),
    "set": lambda content: {unpack(item) for item in content},
}


def text(value, most: int = 1000) -> str:
    """A text of at most so many characters. Raises Refused for anything else."""
    if not isinstance(value, str):
        raise Refused("no text")
    return value[:most]


def pack_report(report: Report) -> dict:
    """What an answer did, as JSON can hold it."""
    outcomes = [
        {
            "value": pack(outcome.value),
            "error": [pack(part) for part in outcome.error] if outcome.error else None,
            "changed": outcome.changed is True,
        }
        for outcome in report.outcomes
    ]
    return {
        "outcomes": outcomes,
        "blank": report.blank,
        "not_callable": report.not_callable,
        "stopped": report.stopped,
        "limit": report.limit,
        "printed": report.printed,
        "more_printed": report.more_printed,
    }


def unpack_report(packed, cases: int) -> Report:
    """The report on that many cases. Raises Refused for one that is no such report."""
    try:
        report = Report(
            outcomes=[_outcome(one) for one in packed["outcomes"]],
            blank=packed["blank"] is True,
            not_callable=text(packed["not_callable"], 100),
            stopped=text(packed["stopped"]),
            limit=float(packed["limit"]),
            printed=text(packed["printed"]),
            more_printed=int(packed["more_printed"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Refused(f"no report: {type(error).__name__}") from None
    whole = len(report.outcomes) == cases
    if report.stopped not in STOPS or not (whole or report.stopped or unasked(report)):
        raise Refused("a report on other cases")
    return report


def unasked(report: Report) -> bool:
    """Whether the answer was never called, and rightly so."""
    return not report.outcomes and (report.blank or bool(report.not_callable))


def _outcome(packed) -> Outcome:
    error = packed["error"]
    if error is not None:
        kind, kinds, message, where = map(unpack, error)
        error = Failure(text(kind, 100), tuple(text(k, 100) for k in kinds), text(message),
                        text(where))
    return Outcome(unpack(packed["value"]), error, packed["changed"] is True)


def send(stream: BinaryIO, message: dict) -> None:
    """Write one message: its length in four bytes, and JSON."""
    data = json.dumps(message).encode("ascii")
    stream.write(struct.pack(">I", len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO, most: int) -> tuple[dict | None, int]:
    """(the next message, its bytes); (None, 0) at the end. Raises Refused."""
    head = stream.read(4)
    if len(head) < 4:
        return None, 0
    (size,) = struct.unpack(">I", head)
    if size > most:
        raise Refused("more than may be sent")
    data = stream.read(size)
    if len(data) < size:
        return None, 0
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused("no JSON") from None
    if not isinstance(message, dict):
        raise Refused("no message")
    return message, size + 4
