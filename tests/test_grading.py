"""Grading a folder of submissions: points counted by hand, and nothing that a notebook does hurts.

Two classes are graded once, for all tests: a good-natured one with generous limits, and one that
attacks with small ones. Everybody's exercises are those of lesson 03; two of them are used most:
`flops`, for 2 points, and `receptive_field`, for 3.
"""

import csv
import html.parser
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from segutils.exercises import LESSONS, exercise, exercises
from segutils.exercises.calling import Odd, Outcome, Report, collect
from segutils.exercises.judging import judge
from segutils.grading import command, keeper, marking, report, wire
from segutils.grading.keeper import Limits
from segutils.grading.marking import LEFT, grade
from segutils.grading.student import GONE
from segutils.grading.submissions import Cell, Course, GradingError, Submission, courses, read

ROOT = Path(__file__).resolve().parents[1]
LINUX = sys.platform == "linux"

IMPORTS = """
import builtins, gc, os, subprocess, sys, threading, time
import numpy as np, torch
from segutils.exercises import check, hint
"""
FLOPS = """
def flops(i, o, h, w):
    return 18 * (i * o + o * o) * h * w

check("ex03.flops", flops)
"""
FLOPS_WRONG = FLOPS.replace("18", "9")  # multiply-adds
FIELD = """
def receptive_field(layers):
    field, apart = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * apart
        apart *= stride
    return field

check("ex03.receptive_field", receptive_field)
"""
FIELD_WRONG = FIELD.replace("apart *= stride", "apart = 1")  # strides ignored
FIELD_LEFT = FIELD.replace("return field", "os._exit(0)")
FIELD_STUB = """
def receptive_field(layers):
    ...  # your code here

check("ex03.receptive_field", receptive_field)
"""


def save(path, *sources, ids=()):
    cells = [dict(cell_type="code", id=ids[k] if k < len(ids) else f"c{k}", metadata={}, outputs=[],
                  execution_count=None, source=source) for k, source in enumerate(sources)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)))


def hand_in(folder, notebooks):
    """{student: sources of cells} as a folder a student; whoever gives None has no imports."""
    for student, sources in notebooks.items():
        save(folder / student / "ex03.ipynb", IMPORTS, *sources)


def mark(grades, student, short):
    return grades.marks[student, f"ex03.{short}"]


def both(grades, student):
    """(points for flops, points for receptive_field)."""
    return tuple(mark(grades, student, short).points for short in ("flops", "receptive_field"))


# ---- a good-natured class ------------------------------------------------------------------------

GOOD = {
    "partly": [FLOPS, FIELD_WRONG],
    "wrong": [FLOPS_WRONG, FIELD_WRONG],
    "reordered": [FIELD, "x = 1", FLOPS],
    "twice": [FLOPS_WRONG, FLOPS, FIELD, FIELD_STUB],
    "no_check": [FLOPS.split("check(")[0], FIELD.split("check(")[0]],
    "renamed": [FLOPS.replace("flops", "mine").replace("ex03.mine", "ex03.flops"), FIELD],
    "split": [*FLOPS.split("\n\n"), "import antigravity_2", *FIELD.split("\n\n")],
    "elsewhere": [FIELD_STUB, FLOPS, FIELD.split("check(")[0]],
    "crashes": [FLOPS, "1 / 0", "np.no_such_name", FIELD],
    "syntax": [FLOPS.replace("return", "retrun"), FIELD],
    "needs_a_cell": ["from no_such_module import helper", "def flops(*a):\n    return helper(*a)",
                     FIELD],
    "magics": ["%matplotlib inline\n!echo hello", FLOPS, FIELD, "figure = 1\nfigure?"],
    "exits": [FLOPS, "sys.exit(3)", "exit()", "quit()", "raise KeyboardInterrupt", FIELD],
    "asks": [FLOPS, "name = input('your name? ')", FIELD],
    "tensors": [FLOPS.replace("return", "return torch.tensor(1) *"), FIELD],
    "clean": [
        "known = {*os.environ} | {*open('/proc/self/environ').read().split(chr(0))}\n"
        "secret = any('VERY_SECRET' in name for name in known)\n"
        "at_home = os.environ['HOME'] == os.getcwd() == os.environ['TMPDIR']",
        FLOPS.replace("return", "return (not secret and at_home) *"), FIELD],
    "helped": ["from beside import flops\ncheck('ex03.flops', flops)", FIELD],
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    hand_in(folder, GOOD)
    (folder / "helped" / "beside.py").write_text(FLOPS.split("check(")[0])
    for name in ("exercises", "solutions"):
        (source,) = (ROOT / "notebooks" / name).glob("ex03*.ipynb")
        shutil.copy(source, folder / f"{name}_{source.name}")
    save(folder / "misnamed" / "my homework.ipynb", IMPORTS, FLOPS, FIELD)
    save(folder / "other" / "ps1" / "ex04.ipynb", IMPORTS, FLOPS, FIELD)  # nbgrader's folders
    save(folder / "two" / "ex03.ipynb", IMPORTS, FLOPS)
    save(folder / "two" / "ex03-Copy1.ipynb", IMPORTS, FIELD)
    save(folder / "two" / ".ipynb_checkpoints" / "ex03-checkpoint.ipynb", IMPORTS, FLOPS_WRONG)
    (folder / "broken").mkdir()
    (folder / "broken" / "ex03.ipynb").write_text('{"cells": [{"cell_type": "code", "sou')
    save(folder / "ex03.ipynb", FLOPS)
    save(folder / "anna" / "notes.ipynb", "1 + 1")
    os.environ["VERY_SECRET_TOKEN"] = "abc"
    try:
        lines = []
        found = grade(folder, limits=Limits(seconds=120), tell=lambda *line: lines.append(line))
    finally:
        del os.environ["VERY_SECRET_TOKEN"]
    assert [done for done, *_ in lines] == list(range(1, len(lines) + 1))
    assert {of for _, of, _ in lines} == {len(lines)}
    return found


def test_the_solved_edition_has_all_points_and_the_blank_one_none(good):
    assert [m.points for m in good.of("solutions")] == [2, 3, 3, 3, 3, 2]
    assert sum(e.points for e in exercises("ex03")) == 16
    assert {m.status for m in good.of("solutions")} == {"solved"}
    assert [m.points for m in good.of("exercises")] == [0] * 6
    assert {m.status for m in good.of("exercises")} == {"not attempted yet"}


def test_half_right_and_wrong_ones_meet_their_hints(good):
    assert both(good, "partly") == (2, 0) and both(good, "wrong") == (0, 0)
    assert mark(good, "wrong", "flops").key == "multiply_adds"
    assert mark(good, "partly", "receptive_field").key == "strides_ignored"
    assert "Strides are left out" in mark(good, "partly", "receptive_field").hint
    assert mark(good, "partly", "up").status == "not attempted yet"


@pytest.mark.parametrize("student", [
    "reordered", "twice", "no_check", "renamed", "split", "elsewhere", "crashes", "magics", "exits",
    "asks", "tensors", "clean", "helped", "misnamed", "other", "two"])
def test_what_is_right_counts_wherever_it_stands(good, student):
    assert both(good, student) == (2, 3), [m.hint for m in good.of(student)]


def test_a_cell_that_fails_costs_its_own_exercise(good):
    assert both(good, "syntax") == (0, 3) and both(good, "needs_a_cell") == (0, 3)
    assert "SyntaxError" in mark(good, "syntax", "flops").hint
    assert "line 2" in mark(good, "syntax", "flops").hint
    assert "name 'helper' is not defined" in mark(good, "needs_a_cell", "flops").hint


def test_a_broken_file_is_said_to_be_one(good):
    one = mark(good, "broken", "flops")
    assert one.points is None and one.status == "not marked" and "not a notebook" in one.hint


def test_files_that_are_nobodys_are_named(good):
    text = "\n".join(good.notes)
    assert "ex03.ipynb: whose is it?" in text and "anna/notes.ipynb: no exercise" in text
    assert len(good.notes) == 2 and "anna" not in good.students


# ---- a class that attacks ------------------------------------------------------------------------

LEFT_BEHIND = "left-behind-by-a-submission"
LIAR = """
class Liar:
    def __eq__(self, other):
        return True
    __hash__ = None
    def __getattr__(self, name):
        return lambda *args, **kwargs: True
    @property
    def __class__(self):
        return int

class Array(np.ndarray):
    def __eq__(self, other):
        return np.array(True)
    def __ne__(self, other):
        return np.array(False)

class Whole(int):
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
    def __int__(self):
        return 10**6
"""
FORGED = """
import json, struct, gc
from segutils.grading import wire
right = {"outcomes": [], "blank": False, "not_callable": "", "stopped": "", "limit": 1.0,
         "printed": "", "more_printed": 0}
print(json.dumps({"report": "ex03.flops", "did": right}))
for fd in range(3, 20):
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            wire.send(file, {"report": "ex03.flops", "place": 2, "did": right})
            wire.send(file, {"report": ["ex03.flops"], "place": {}, "did": 3})
            wire.send(file, {"cell": {}, "error": [], "text": 3})
    except OSError:
        pass
"""
PATCHES = """
import segutils.exercises.judging as judging, segutils.exercises as package
import numpy.testing
np.allclose = np.array_equal = lambda *args, **kwargs: True
np.isclose = lambda a, b, *args, **kwargs: np.ones(np.shape(a), bool)
torch.equal = torch.allclose = lambda *args, **kwargs: True
judging.difference = judging.verdict = judging._wrong = lambda *args, **kwargs: None
judging.judge = package.judge = lambda e, *args: package.Result(e.name, "", "solved", 99, 99)
package.SEED = 0
for e in package.exercises("ex03"):
    object.__setattr__(e, "oracle", lambda *args: None)
    object.__setattr__(e, "points", 1000)
"""
HOSTILE = {  # student: cells, and the points for flops and receptive_field that are due
    "loops": (["while True: pass\nfactor = 18", FLOPS.replace("18", "factor"), FIELD], (None, 3)),
    "loops_in_answer": ([FLOPS.replace("return", "while True: pass\n    return"), FIELD],
                        (None, 3)),
    "cannot_be_stopped": ([FLOPS.replace(
        "    return", "    while True:\n        try:\n            time.sleep(0.01)\n"
        "        except BaseException: pass\n    return"), FIELD], (None, 3)),
    "leaves": ([FLOPS, "os._exit(0)", FIELD], (2, 3)),
    "leaves_in_answer": ([FLOPS.replace("return", "os._exit(0)\n    return"), FIELD], (0, 3)),
    "kills_itself": ([FLOPS, "os.kill(os.getpid(), 9)", FIELD], (2, 3)),
    "eats_memory": ([FLOPS, "full = []\nwhile True: full.append(bytearray(20_000_000))", FIELD],
                    (2, 3)),
    "eats_memory_in_answer": ([FLOPS.replace("return", "return 0 * np.ones(10**10) or"), FIELD],
                              (None, 3)),
    "shares_memory": ([FLOPS.replace("return", "for _ in range(3):\n        if os.fork() == 0:\n"
                                     "            full = b'x' * 200_000_000\n"
                                     "            time.sleep(60)\n            os._exit(0)\n"
                                     "    time.sleep(60)\n    return"), FIELD], (None, 3)),
    "fills_the_disk": ([FLOPS.replace("return", "while True:\n"
                                      "        name = f'{time.perf_counter_ns()}'\n"
                                      "        open(name, 'wb').write(bytes(10**6))\n"
                                      "    return"), FIELD], (None, 3)),
    "one_large_file": ([FLOPS, "with open('large', 'wb') as f:\n"
                        "    while True: f.write(bytes(10**6))", FIELD], (2, 3)),
    "forks": ([FLOPS.replace("return", "for _ in range(40):\n        if os.fork() == 0:\n"
                             "            time.sleep(60)\n            os._exit(0)\n"
                             "    time.sleep(60)\n    return"), FIELD], (None, 3)),
    "leaves_children": ([FLOPS, f"""
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(300)", "{LEFT_BEHIND}"],
                 start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execv(sys.executable, ["python", "-S", "-c", "import time; time.sleep(300)",
                              "{LEFT_BEHIND}"])
""", FIELD], (2, 3)),
    "own_check": (["def check(*args, **kwargs):\n    print('solved, 99 points')",
                   "import segutils.exercises\nsegutils.exercises.check = check",
                   FLOPS_WRONG, FIELD], (0, 3)),
    "patches": ([PATCHES, FLOPS_WRONG, FIELD], (0, 3)),
    "patches_builtins": ([FIELD, FLOPS_WRONG, "builtins.all = builtins.isinstance = "
                          "builtins.any = builtins.len = lambda *args: True"], (0, 3)),
    "forges": ([FORGED, FLOPS_WRONG, FIELD], (None, 3)),
    "floods_the_grader": ([FLOPS, "for fd in range(3, 20):\n    try:\n"
                           "        while True: os.write(fd, b'x' * 10**6)\n"
                           "    except OSError: pass", FIELD], None),
    "lies_object": ([LIAR, "def flops(*args):\n    return Liar()", FIELD], (0, 3)),
    "lies_array": ([LIAR, "def flops(*args):\n    return np.zeros(1).view(Array)", FIELD], (0, 3)),
    "lies_number": ([LIAR, "def flops(i, o, h, w):\n    return Whole(3)", FIELD], (0, 3)),
    "prints": ([FLOPS, "for _ in range(2000): print('x' * 10**5)\nos.write(1, b'y' * 10**7)",
                FIELD.replace("return", "print('<b>bold</b>' + 'y' * 500)\n    return")], (2, 3)),
    "huge_answer": ([FLOPS.replace("return", "return np.zeros(2_200_000) +"), FIELD], (0, 3)),
    "deletes": ([FLOPS, "import shutil\nshutil.rmtree(os.getcwd())", FIELD], (2, 3)),
    "digs": ([FLOPS, "for _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')", FIELD], (2, 3)),
    "locks": ([FLOPS, "os.mkdir('a')\nopen('a/b', 'w').close()\nos.chmod('a', 0)", FIELD], (2, 3)),
    "kills_the_warm_process": ([FLOPS, "os.kill(os.getppid(), 9)\ntime.sleep(60)", FIELD], None),
    "<img src=x onerror=alert(1)>": ([FLOPS, FIELD], (2, 3)),
    "=1+1": ([FLOPS, FIELD_WRONG], (2, 0)),
    "[bold]a\nb\x1b[2J": ([FLOPS, FIELD], (2, 3)),
}
SMALL = Limits(seconds=8, memory=300 * keeper.MB, disk=10 * keeper.MB, processes=12)

# Each attack ends by itself within minutes, should the grader ever fail to end it.


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    if not LINUX:
        pytest.skip("the limits of Linux")
    folder = tmp_path_factory.mktemp("hostile")
    hand_in(folder, {student: cells for student, (cells, _) in HOSTILE.items()})
    save(folder / "deep" / "ex03.ipynb", FLOPS)
    (folder / "deep" / "ex03.ipynb").write_text("[" * 100_000)
    os.mkfifo(folder / "deep" / "ex03_pipe.ipynb")
    os.symlink("/etc/passwd", folder / "deep" / "ex03_link.ipynb")
    place = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:      # a place of its own: others may be grading
        patch.setattr(keeper.tempfile, "tempdir", str(place))
        found = grade(folder, limits=SMALL)
    assert not list(place.glob("grading-*")), "a submission's folder is left"
    return found


def shown(name):
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


@pytest.mark.parametrize("student", [s for s, (_, due) in HOSTILE.items() if due])
def test_an_attack_costs_what_it_hits_and_no_more(hostile, student):
    due = HOSTILE[student][1]
    assert both(hostile, shown(student)) == due, [m.hint for m in hostile.of(shown(student))]


def test_who_attacks_the_grader_gains_nothing(hostile):
    for student in ("floods_the_grader", "kills_the_warm_process"):
        assert all(points in (None, full) for points, full in
                   zip(both(hostile, student), (2, 3), strict=True))


def test_a_timeout_is_no_zero_in_silence(hostile):
    for student in ("loops_in_answer", "cannot_be_stopped"):
        one = mark(hostile, student, "flops")
        assert (one.points, one.status, one.key) == (None, "not marked", "late")
        assert one.hint.startswith("Stopped after 8 s, not marked: run again with --seconds 40.")
    assert "--memory" in mark(hostile, "eats_memory_in_answer", "flops").hint
    rows = list(csv.DictReader(io.StringIO(report.table(hostile))))
    rows = {r["exercise"]: r for r in rows if r["student"] == "loops_in_answer"}
    row, total = rows["ex03.flops"], rows["total"]
    assert row["points"] == "" and row["of"] == "2" and row["status"] == "not marked"
    assert total["points"] == "3" and total["status"] == "1 not marked"


def test_what_failed_for_want_of_a_stopped_cell_is_no_zero_either(hostile):
    one = mark(hostile, "loops", "flops")
    assert one.status == "not marked" and "name 'factor' is not defined" in one.hint
    assert "Cell 2 before it was stopped, and is left out. Stopped after 8 s" in one.hint


def test_the_limit_that_was_passed_is_named(hostile):
    due = {"shares_memory": "memory", "eats_memory_in_answer": "memory", "fills_the_disk": "disk",
           "forks": "processes", "loops_in_answer": "late", "leaves_in_answer": "ends_process"}
    assert {student: mark(hostile, student, "flops").key for student in due} == due


def test_a_forged_report_is_seen(hostile):
    assert "is not what the course's code sends" in mark(hostile, "forges", "flops").hint


def test_nothing_is_left_behind(hostile):
    for process in psutil.process_iter(["cmdline"]):
        assert LEFT_BEHIND not in (process.info["cmdline"] or [])


def test_odd_files_are_left_out(hostile):
    assert sum("a link or no file" in note for note in hostile.notes) == 2
    assert mark(hostile, "deep", "flops").status == "not marked"


# ---- the table and the page ----------------------------------------------------------------------


class Reader(html.parser.HTMLParser):
    """Collects tags, attributes and text as a browser would see them."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def test_the_page_is_escaped_and_loads_nothing(hostile):
    page, seen = report.html(hostile), Reader()
    seen.feed(page)
    assert not seen.tags & {"script", "img", "b", "link", "iframe"}
    assert not seen.attributes & {"onerror", "src", "href"}
    assert "<img src=x onerror=alert(1)>" in seen.text and "<b>bold</b>" in seen.text
    assert "no boundary against a determined attacker" in seen.text
    assert not re.search(r"https?://", page)


def test_the_page_names_the_most_common_mistakes(good):
    marks = good.on("ex03.receptive_field")
    assert report.common(marks) == [(2, exercise("ex03.receptive_field").mistakes[0].hint)]
    seen = Reader()
    seen.feed(report.html(good))
    assert f"2 of {len(good.students)}: Strides are left out" in seen.text


def test_mistakes_are_counted_by_their_keys():
    """Five of one kind, with hints of their own; two of another; and none that is no mistake."""
    told = [("raises", f"line {k}\nYour code printed:\n{k}") for k in range(5)]
    told += [("nan", "a NaN\nYour code printed:\na"), ("nan", "a NaN")]
    marks = [marking.Mark("a", "ex03.up", 0, 3, "not yet", key, hint) for key, hint in told]
    marks += [marking.Mark("a", "ex03.up", None, 3, "not marked", "late", "x")] * 9
    assert report.common(marks) == [(5, "such as: line 0"), (2, "a NaN")]
    assert report.common(marks, most=1) == [(5, "such as: line 0")]


def test_the_table_has_a_row_for_each_and_a_total(good, tmp_path):
    page = report.write(good, tmp_path / "grades.csv")
    assert page == tmp_path / "grades.html" and page.exists()
    rows = list(csv.reader((tmp_path / "grades.csv").open(encoding="utf-8", newline="")))
    assert rows[0] == ["student", "exercise", "points", "of", "status", "hint"]
    assert len(rows) == 1 + len(good.students) * (6 + 1)
    assert ["solutions", "total", "16", "16", "", ""] in rows
    assert ["wrong", "total", "0", "16", "", ""] in rows
    assert ["partly", "total", "2", "16", "", ""] in rows


def test_no_text_becomes_a_formula(hostile):
    rows = list(csv.DictReader(io.StringIO(report.table(hostile))))
    assert "'=1+1" in {r["student"] for r in rows}
    assert not any(str(v).startswith(report.FORMULA) for r in rows for v in r.values())


# ---- hidden tests, other systems, the command ----------------------------------------------------


HIDDEN = """
from segutils.exercises.declare import Case
THE_SECRET_OF_THE_HIDDEN_TESTS = 42
CASES = {"ex03.flops": lambda rng: [Case("a very wide picture", (3, 5, 7, 12345))]}
"""


@pytest.mark.parametrize("warm", [True, False] if LINUX else [False])
def test_hidden_tests_and_every_way_to_start(tmp_path, warm):
    """The hidden case is asked, counts, and what else is in its file never reaches a student."""
    folder, tests = tmp_path / "in", tmp_path / "tests"
    tests.mkdir()
    (tests / "ex03_more.py").write_text(HIDDEN)
    spy = ("word = 'THE_SECRET_OF_' + 'THE_HIDDEN_TESTS'\n"
           "known = any(isinstance(o, dict) and word in o for o in gc.get_objects())")
    hand_in(folder, {
        "right": [spy, FLOPS.replace("return", "return (not known) *"), FIELD],
        "narrow": [FLOPS.replace("return", "return (w < 10000) *"), FIELD],
    })
    found = grade(folder, tests=tests, limits=Limits(seconds=200), jobs=2 if warm else 1, warm=warm)
    assert both(found, "right") == (2, 3) and both(found, "narrow") == (0, 3)
    assert "On a very wide picture: 0 is not it yet." in mark(found, "narrow", "flops").hint


@pytest.mark.parametrize("text, says", [
    ("CASES = {'ex03.no': lambda rng: []}", "no exercise 'ex03.no'"),
    ("CASES = {'ex03.zero_skips': lambda rng: []}", "judged by its properties"),
    ("import no_such", "No module named"),
    ("x = 1", "CASES"),
    ("from segutils.exercises.declare import Case\nclass Own: pass\n"
     "CASES = {'ex03.flops': lambda rng: [Case('own', (Own(), 1, 1, 1))]}", "ickl"),
    ("from segutils.exercises.declare import Case\n"
     "CASES = {'ex03.flops': lambda rng: [Case('too few', (1, 1))]}", "raises TypeError"),
])
def test_hidden_tests_that_are_wrong_are_named(tmp_path, text, says):
    (tmp_path / "ex03.py").write_text(text)
    with pytest.raises(GradingError, match=says) as error:
        marking.hidden_cases(tmp_path)
    assert "ex03.py" in str(error.value)
    with pytest.raises(GradingError, match="no hidden tests there"):
        marking.hidden_cases(tmp_path / "none")


def test_the_command_refuses_before_it_begins(tmp_path, capsys):
    assert command.main([str(tmp_path / "none"), "--out", str(tmp_path / "g.csv")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert command.main([str(tmp_path), "--out", str(tmp_path / "g.csv")]) == 2
    assert "no submission found" in capsys.readouterr().err
    assert command.main([str(tmp_path), "--out", str(tmp_path / "no" / "g.csv")]) == 2
    assert "not a file in a folder that exists" in capsys.readouterr().err
    for bad in (["--jobs", "0"], ["--seconds", "-1"], ["--memory", "x"]):
        with pytest.raises(SystemExit):
            command.main([str(tmp_path), "--out", "g.csv", *bad])


def test_the_command_writes_and_says_what_is_open(tmp_path, capsys, monkeypatch):
    (tmp_path / "in" / "anna").mkdir(parents=True)
    (tmp_path / "in" / "anna" / "ex03.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert command.main(["in", "--out", "g.csv"]) == 1
    out = capsys.readouterr().out
    assert "1/1 anna, ex03: 0 of 16 points, 6 not marked" in out
    assert "not marked: anna, ex03.flops: The notebook cannot be run: not a notebook" in out
    assert "g.csv and g.html" in out and (tmp_path / "g.html").exists()


@pytest.mark.skipif(not LINUX, reason="elsewhere there is no warm process")
def test_a_machine_too_busy_to_import_is_named(tmp_path, monkeypatch):
    save(tmp_path / "anna" / "ex03.ipynb", IMPORTS, FLOPS)
    monkeypatch.setattr(keeper, "START", 0.01)
    with pytest.raises(GradingError, match="not imported within 0.01 s: is the machine busy"):
        grade(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once, whatever it is")
def test_last_words_count_however_late_they_are_read(tmp_path, monkeypatch):
    """On a busy machine a student's process may be gone before the grader comes to read."""
    receive = wire.receive
    monkeypatch.setattr(keeper, "POLL", 0.005)
    monkeypatch.setattr(keeper.wire, "receive", lambda *a: (time.sleep(0.05), receive(*a))[1])
    hand_in(tmp_path, {"right": [FLOPS, FIELD], "left": [FLOPS, FIELD_LEFT]})
    found = grade(tmp_path, limits=Limits(seconds=120))
    assert both(found, "right") == (2, 3)
    assert both(found, "left") == (2, 0) and mark(found, "left", "receptive_field").hint == LEFT


def test_sigterm_stops_as_ctrl_c_does(tmp_path, capsys, monkeypatch):
    """Nothing is written or left behind. Without the command's own handler, grading runs on."""
    save(tmp_path / "in" / "anna" / "ex03.ipynb", IMPORTS, FLOPS)
    place, out = tmp_path / "temporary", tmp_path / "g.csv"
    place.mkdir()
    monkeypatch.setattr(keeper.tempfile, "tempdir", str(place))

    def kill_once_it_has_begun():
        while not list(place.glob("grading-*/*/*")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    ours = signal.signal(signal.SIGTERM, mine := lambda *_: None)
    try:
        threading.Thread(target=kill_once_it_has_begun, daemon=True).start()
        assert command.main([str(tmp_path / "in"), "--out", str(out)]) == 130
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, ours)
    assert "Stopped; nothing was written." in capsys.readouterr().err
    assert not list(place.iterdir()) and not out.exists()


def test_the_courses_own_answers_are_found():
    known = courses()
    for lesson, course in known.items():
        assert set(course.answers) == {e.name for e in exercises(lesson)}
    assert known["ex05"].answers["ex05.resume"] == "(save, load)"
    assert known["ex03"].answers["ex03.flops"] == "flops"


def test_the_cell_of_an_exercise_is_found_by_its_check_its_id_or_nbgraders_name():
    handed_out = Course({"ex03.up": "up", "ex03.flops": "flops"},
                        {"ex03.up": Cell(2, "", "id-up", "g1"), "ex03.flops": Cell(3, "", "f", "")})

    def places(*cells):
        asks = Submission("anna", Path("x"), "ex03", list(cells)).asks(handed_out)
        return {place: [ask.name for ask in found] for place, found in asks.items()}

    everything = ["ex03.up", "ex03.flops"]
    assert places() == {GONE: everything}
    assert places(Cell(7, "x = 1", "id-up")) == {7: ["ex03.up"], GONE: everything}
    assert places(Cell(7, "x = 1", "new", "g1")) == {7: ["ex03.up"], GONE: everything}
    broken = Cell(4, "def up(:\ncheck( 'ex03.up', up)", "other")
    assert places(broken, Cell(7, "", "id-up")) == {4: ["ex03.up"], GONE: everything}
    many = [Cell(k, 'check("ex03.flops", flops)') for k in range(10)]
    assert set(places(*many)) == {7, 8, 9, GONE}


@pytest.mark.parametrize("path, student, lesson", [
    ("anna/ex03.ipynb", "anna", "ex03"),
    ("anna/ps4/ex03_unet_from_scratch.ipynb", "anna", "ex03"),
    ("anna_ex03_unet_from_scratch.ipynb", "anna", "ex03"),
    ("anna-maria lee ex03.ipynb", "anna-maria lee", "ex03"),
    ("max_ex05.ipynb", "max", "ex05"),
    ("Max.EX05.ipynb", "Max", "ex05"),
    ("ex03.ipynb", "", "ex03"),
    ("anna/homework.ipynb", "anna", ""),
    ("anna/ex99.ipynb", "anna", ""),
    ("anna/ex031.ipynb", "anna", ""),
])
def test_whose_it_is_and_of_which_lesson(tmp_path, path, student, lesson):
    save(tmp_path / path, "x = 1")
    found = read(tmp_path / path, tmp_path, dict.fromkeys(["ex03", "ex05"]))
    assert (found.student, found.lesson) == (student, lesson)


# ---- what crosses the line -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [
    None, ..., True, 3, -10**300, 0.5, float("inf"), 1j, "text\ud800", [1, [2]], (1, "a"), {1, 2},
    {"a": (1,), 2: [None]}, Odd("a function"), [], (), {}, set(),
])
def test_plain_data_comes_back_as_it_was(value):
    back = wire.unpack(json.loads(json.dumps(wire.pack(value))))
    assert type(back) is type(value) and back == value


@pytest.mark.parametrize("array", [
    np.zeros((2, 0, 3)), np.arange(6).reshape(2, 3).T, np.array(3, np.uint8),
    np.array([1.5, np.nan], np.float16), np.array(["a", "bcd"]), np.array([True, False]),
    np.array([1 + 2j]), np.arange(4, dtype=">i4"),
])
def test_arrays_come_back_as_they_were(array):
    back = wire.unpack(json.loads(json.dumps(wire.pack(array))))
    assert type(back) is np.ndarray and back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes() and back.flags.writeable


def test_subclasses_cross_as_what_they_are():
    names = {}
    exec("import numpy as np\n" + LIAR, names)
    assert wire.unpack(wire.pack(names["Whole"](3))) == 3
    assert type(wire.unpack(wire.pack(np.zeros(2).view(names["Array"])))) is np.ndarray
    assert isinstance(wire.unpack(wire.pack(names["Liar"]())), Odd)
    assert isinstance(wire.unpack(wire.pack(np.array([object()]))), Odd)
    assert isinstance(wire.unpack(wire.pack(10**10000)), Odd)


@pytest.mark.parametrize("packed", [
    [1], {"array": ["O", [1], "AAAAAAAAAAA="]}, {"array": ["f8", [2], "AAAAAAAAAAA="]},
    {"array": ["f8", [10**12], ""]}, {"array": ["V8", [1], "AAAAAAAAAAA="]},
    {"array": ["f8", [-1], "AAAAAAAAAAA="]}, {"array": ["f8", [10**12, 0], ""]},
    {"set": [{"list": []}]}, {"dict": [[{"list": []}, 1]]}, {"dict": 3}, {"x": 1}, {},
    {"list": [1], "tuple": [2]}, {"odd": 3}, {"complex": ["a", 1]}, {"array": [["f8"], [1], "AA"]},
])
def test_nothing_else_is_taken(packed):
    with pytest.raises(wire.Refused):
        wire.unpack(packed)


def nested(depth):
    packed = 1
    for _ in range(depth):
        packed = {"list": [packed]}
    return packed


def test_messages_that_are_none():
    def stream(data):
        return io.BytesIO(len(data).to_bytes(4, "big") + data)

    for data in (b"{", b"[1]", b"\xff", b"[" * 10**6, b'{"a": ' + b"9" * 10000 + b"}"):
        with pytest.raises(wire.Refused):
            wire.receive(stream(data), 10**7)
    with pytest.raises(wire.Refused, match="more than"):
        wire.receive(stream(b"{}"), 1)
    assert wire.receive(io.BytesIO(b"\0\0"), 100) == (None, 0)
    assert wire.receive(io.BytesIO(b"\0\0\0\x09{}"), 100) == (None, 0)
    with pytest.raises(wire.Refused):
        wire.unpack(nested(5000))


def test_a_report_is_judged_alike_on_both_sides():
    task = exercise("ex03.flops")
    cases = task.cases(np.random.default_rng(1))
    for answer in (task.oracle, lambda *a: torch.tensor(3.0), lambda *a: 1 / 0, ..., 3,
                   lambda *a: None, lambda *a: print("hello") or 3):
        here = collect(task, answer, cases)
        there = wire.unpack_report(json.loads(json.dumps(wire.pack_report(here))), len(cases))
        assert judge(task, cases, there) == judge(task, cases, here)


def test_reports_on_other_cases_are_refused():
    good = wire.pack_report(Report(outcomes=[Outcome(1)] * 3))
    assert wire.unpack_report(good, 3).outcomes == [Outcome(1)] * 3
    for bad, cases in ((good, 4), (good | {"stopped": "?"}, 3), (good | {"printed": 3}, 3),
                       (good | {"outcomes": 3}, 3), ({}, 0), (3, 0), (good | {"outcomes": []}, 3),
                       (good | {"outcomes": [{"value": 1, "error": ["a"], "changed": 0}]}, 1)):
        with pytest.raises(wire.Refused):
            wire.unpack_report(bad, cases)


def test_root_and_other_systems_are_told_what_is_missing(monkeypatch):
    monkeypatch.setattr(keeper, "LINUX", False)
    assert "no limit of the system's own" in keeper.missing()
    monkeypatch.setattr(keeper, "LINUX", True)
    monkeypatch.setattr(keeper.os, "getuid", lambda: 0, raising=False)
    assert "root" in keeper.missing()
    monkeypatch.setattr(keeper.os, "getuid", lambda: 1000, raising=False)
    assert keeper.missing() == ""


# ---- a whole class -------------------------------------------------------------------------------


def whole_class(*arguments):
    """What benchmarks/grading.py prints; it ends with 1 if a mark is not the one that is due."""
    script = ROOT / "benchmarks" / "grading.py"
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True,
                          timeout=3600)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_students_of_the_benchmark():
    assert "12 of 12 marks are the ones due" in whole_class("--quick")


@pytest.mark.slow
def test_thirty_submissions_of_every_lesson():
    text, notebooks, marks = whole_class(), 30 * len(LESSONS), 30 * len(exercises())
    assert f"30 students, 0 of them hostile; {notebooks} notebooks, {marks} marks" in text
    assert f"{marks} of {marks} marks are the ones due" in text


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="the limits of Linux")
def test_thirty_submissions_ten_of_them_hostile():
    text = whole_class("--hostile", "10", "--lessons", "ex03", "ex04", "--seconds", "30")
    assert "30 students, 10 of them hostile; 60 notebooks, 360 marks" in text
