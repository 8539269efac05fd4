"""The exercises: every wrong answer meets its hint, and nothing an answer does hurts `check`.

`pytest tests/test_exercises.py -s` shows the table, and so does `python -m tests.answers`.
"""

import contextlib
import html.parser
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from answers import row, table

from segutils import masks
from segutils.exercises import (
    check,
    ex00,
    ex01,
    ex05,
    ex06,
    ex08,
    exercise,
    exercises,
    hint,
    showing,
)
from segutils.exercises.calling import Screen, collect
from segutils.exercises.declare import LEVELS
from segutils.exercises.ex03 import networks
from segutils.exercises.judging import difference, judge

NAMES = [e.name for e in exercises()]
LESSONS = ["ex00", "ex01", "ex02", "ex03", "ex04", "ex05", "ex06", "ex08"]


def ask(answer, name="ex01.one_hot", **options):
    return check(name, answer, quiet=True, **options)


def right(mask, classes):
    return np.stack([mask == c for c in range(classes)])


# ---- the answers in tests/answers ------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    rows = []
    yield rows
    print("\n" + table(rows))


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_is_taken_as_meant(name, found):
    found.append(row(name))
    assert not found[-1].faults, "\n".join(found[-1].faults)


@pytest.mark.parametrize("name", NAMES)
def test_every_known_mistake_recognises_itself(name):
    for mistake in exercise(name).mistakes:
        if mistake.like is not None:
            assert ask(mistake.like, name).key == mistake.key


# Grading draws its cases from seed 1.
@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(k, marks=pytest.mark.slow)
                                          for k in range(3, 11))])
def test_other_cases_judge_the_oracle_and_its_mistakes_alike(seed):
    for e in exercises():
        if e.oracle is not None and not e.value:
            assert ask(e.oracle, e.name, seed=seed).solved
        for mistake in e.mistakes:
            if mistake.like is not None:
                assert not ask(mistake.like, e.name, seed=seed).solved


def test_each_exercise_says_what_a_student_and_a_teacher_need():
    for e in exercises():
        assert e.level in LEVELS and e.points > 0 and e.minutes > 0 and e.title and e.hints
        assert 10 <= len(e.aim) <= 90 and e.aim[0].islower() and e.aim[-1].isalnum(), e.name
        assert (e.oracle is None) != (e.examine is None)
        keys = [m.key for m in e.mistakes]
        assert len(set(keys)) == len(keys)
        caption, picture = e.target()
        assert caption and (picture is None or (picture.ndim, picture.dtype) == (3, np.uint8))
    for lesson in LESSONS:
        assert len(exercises(lesson)) >= 4


def test_judging_needs_the_plain_report_alone():
    """What grading rests on: collect in one process, judge in another, on other cases."""
    import pickle

    e = exercise("ex01.one_hot")
    cases = e.cases(np.random.default_rng(99))
    sent = pickle.dumps(collect(e, lambda mask, classes: torch.tensor(right(mask, classes)), cases))
    assert b"torch" not in sent
    assert judge(e, cases, pickle.loads(sent)).solved


# ---- oracles that are not the package --------------------------------------------------------


def test_the_rows_of_lesson_00_are_the_scores_of_its_five_programs():
    """By the package's own confusion matrix; no two rows read alike, and the lazy one gets more
    pixels right than the one that finds everything."""
    from segutils.metrics import ConfusionMatrix

    _, mask, preds, scores = ex00.five_programs()
    _, kinds, rows = ex00._matching()
    at = {}
    for letter, pred in preds.items():
        counted = ConfusionMatrix(["background", "person", "car"])
        counted.update(torch.tensor(pred)[None], torch.tensor(mask)[None])
        row = scores[rows.index(kinds[letter])]
        assert row == pytest.approx((counted.accuracy(), *counted.iou()[1:].tolist()))
        at[kinds[letter]] = [f"{row[0]:.0%}", *(f"{iou:.2f}" for iou in row[1:])]
    assert len(set(map(tuple, at.values()))) == 5
    assert at["nothing"][1:] == ["0.00", "0.00"] and at["nothing"][0] > at["fat"][0]
    assert at["missed"][1:] == ["0.00", "1.00"] and at["invented"][1] == "1.00" != at["invented"][2]
    assert all("0.00" < iou < "1.00" for kind in ("misnamed", "fat") for iou in at[kind][1:])


def test_the_leaks_of_lesson_00_are_there_and_nowhere_else():
    """A leak correlates with a training picture, as it is or flipped; nothing else comes near."""
    train, test = ex00.leaky_split()

    def alike(a, b):
        return np.corrcoef(a.ravel(), b.ravel())[0, 1]

    near = {a: max(alike(image, t[:, ::step]) for t in train for step in (1, -1))
            for a, image in test.items()}
    leaks = ex00._leaky()[2]
    assert {a for a, r in near.items() if r > 0.99} == set(leaks)
    assert all(r < 0.9 for a, r in near.items() if a not in leaks)
    as_it_is = {a: any(np.array_equal(test[a], t) for t in train) for a in leaks}
    assert sum(as_it_is.values()) == 1, "the other two are not found by comparing bytes"
    told = {ask(set(leaks) - {a}, "ex00.leak").message for a in leaks}
    assert len(told) == 3, "each kind of leak has a hint of its own"
    train[0][:], test["A"][:] = 0, 0
    assert ex00.leaky_split()[1]["A"].any(), "a reader's changes stay his own"


def test_colour_vision_against_published_values():
    """Grays stay gray, and pure red for protanopes is dark: Machado et al. 2009, severity 1."""
    gray = np.array([[128, 128, 128]], np.uint8)
    for vision, matrix in ex01.VISION.items():
        assert np.allclose(matrix.sum(1), 1, atol=1e-5)
        assert np.abs(ex01.simulate(gray, vision).astype(int) - 128).max() <= 1
    red = ex01.simulate(np.array([[255, 0, 0]], np.uint8), "protanopia (no red cones)")[0]
    assert abs(int(red[0]) - 109) <= 1 and red[0] < 120 and red[2] == 0


def test_colour_distances_by_hand():
    """CIE 1976: black to white is 100; sRGB red is L* 53.24, a* 80.09, b* 67.20."""
    colors = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], np.uint8)
    apart = ex01.distances(colors, "full colour vision")
    assert apart[0, 1] == pytest.approx(100, abs=0.1)
    assert apart[0, 2] == pytest.approx(np.linalg.norm([53.24, 80.09, 67.20]), abs=0.2)


def test_the_course_palette_would_pass():
    assert ask(masks.PALETTE[:6], "ex01.palette").solved


def test_the_runs_show_what_is_asked_about_them():
    """Each of the seven curves has its own mark, read off the numbers."""
    runs = ex05.histories()
    train, val, iou = ({k: r[name] for k, r in runs.items()}
                       for name in ("train_loss", "val_loss", "val_iou"))
    assert (np.diff(train["A"]) < 0.01).all() and train["A"][-1] > 2 * train["F"][-1]
    assert train["B"][-1] < 0.3 and iou["B"].max() < 0.5 < iou["F"][-1]
    assert (train["C"] > val["C"])[5:].mean() > 0.9 and iou["C"][-1] > 0.65
    assert train["D"][-1] < 0.1 and val["D"][-1] > 1.3 * val["D"].min()
    assert train["E"][:5].min() > 2 and np.abs(np.diff(val["E"])).max() > 0.2
    assert np.allclose(train["F"], val["F"], atol=0.12) and iou["F"][-1] > 0.65
    assert np.ptp(val["G"][7:]) < 1e-6 and val["G"][-1] > 1.3 * val["F"][-1]


def test_the_skip_test_of_lesson_03_accuses_no_intact_network():
    from lessons import definitions

    check_skips, x = definitions("03_unet_from_scratch").check_skips, torch.rand(1, 3, 16, 16)
    silent = {name for name, net in networks().items() if not all(check_skips(net, x))}
    assert silent == {"B", "E"}


def test_no_right_answer_of_lesson_06_raises():
    """An oracle that raises asks for that error: none of these means to."""
    for seed in range(3):
        for e in exercises("ex06"):
            for case in e.cases(np.random.default_rng(seed)) if e.oracle else ():
                e.oracle(*case.args)


def test_our_ap50_is_the_packages():
    """The right answer to ex06.ap50 is a plain loop of ours; the package asks COCO's own code."""
    from segutils import metrics

    for seed in range(3):
        for case in exercise("ex06.ap50").cases(np.random.default_rng(seed)):
            found, truth = case.args
            labels = [torch.ones(len(f["scores"]), dtype=torch.int64) for f in found]
            said = [{**f, "labels": ones} for f, ones in zip(found, labels, strict=True)]
            true = [{"masks": t, "labels": torch.ones(len(t), dtype=torch.int64)} for t in truth]
            wanted = metrics.instance_ap(said, true)["ap50"]
            assert ex06._ap50(found, truth) == pytest.approx(wanted, abs=1e-6), case.label


def test_a_bilinear_weight_stretches_as_interpolate_does():
    for factor in range(1, 7):
        logits = torch.rand(2, 3, 6, 7, dtype=torch.float64)
        weight = torch.from_numpy(ex06._bilinear(factor, 3))
        pad = (weight.shape[-1] - factor) // 2
        got = torch.nn.functional.conv_transpose2d(logits, weight, stride=factor, padding=pad)
        wanted = torch.nn.functional.interpolate(logits, scale_factor=factor, mode="bilinear")
        assert got.shape == wanted.shape
        inside = (..., slice(factor, -factor), slice(factor, -factor))
        assert torch.allclose(got[inside], wanted[inside])


def test_a_held_network_gives_what_the_strided_one_gives():
    """Every r-th result, with random weights, and none is equal without the rates."""
    for case in exercise("ex06.hold").cases(np.random.default_rng(0)):
        layers, stride = case.args
        weights = [torch.rand(1, 1, k, dtype=torch.float64) for k, _ in layers]

        def run(held, weights=weights):
            x = torch.sin(torch.arange(192, dtype=torch.float64) ** 1.3)[None, None]
            for w, (step, rate) in zip(weights, held, strict=True):
                pad = rate * (w.shape[-1] // 2)
                x = torch.nn.functional.conv1d(x, w, stride=step, dilation=rate, padding=pad)
            return x[0, 0]

        trained, held = run([(step, 1) for _, step in layers]), ex06._hold(layers, stride)
        every = len(run(held)) // len(trained)
        assert len(run(held)) >= 192 // stride
        assert torch.allclose(run(held)[::every], trained)
        naive = run([(step, 1) for step, _ in held])
        assert every == 1 or not torch.allclose(naive[::every], trained)


def test_the_planted_faults_are_there_and_nowhere_else():
    """Four masks differ from what the street's own instances say, each in its way."""
    scenes, given, faults = ex08._planted()
    assert sorted(faults.values()) == sorted(ex08.FAULTS) and ex08.HARD not in faults
    for k, (scene, mask) in enumerate(zip(scenes, given, strict=True)):
        true = scene.instances // 1000
        labelled = mask != 255
        assert (k in faults) == bool((mask != true)[labelled].any())
    at = {fault: k for k, fault in faults.items()}
    moved = given[at["shifted"]][:, 5:], scenes[at["shifted"]].mask[:, :-5]
    assert np.array_equal(*moved)
    said, true = given[at["swapped"]], scenes[at["swapped"]].mask
    assert all(np.array_equal(said == a, true == b) for a, b in ((1, 2), (2, 1), (255, 255)))
    ids = scenes[at["forgotten"]].instances
    gone = [one for one in np.unique(ids[ids > 0]) if not given[at["forgotten"]][ids == one].any()]
    assert len(gone) == 1 and (ids == gone[0]).sum() >= 250
    images, masks_ = ex08.labelled_by_somebody()
    images[0][:], masks_[0][:] = 0, 0
    assert ex08.labelled_by_somebody()[0][0].any(), "a reader's changes stay his own"


# ---- an answer may do anything ---------------------------------------------------------------


def test_raising_names_type_message_and_own_line():
    def answer(mask, classes):
        shapes = mask.shape
        return np.zeros(shapes) + np.zeros((7, 7, 7))  # the failing line

    result = ask(answer)
    line = answer.__code__.co_firstlineno + 2
    assert result.key == "raises" and "ValueError: operands could not be" in result.message
    assert f"line {line} of test_exercises.py: return np.zeros(shapes)" in result.message


def test_an_error_inside_a_library_names_the_students_line():
    def answer(mask, classes):
        return np.linalg.inv(np.zeros((2, 3)))

    line = answer.__code__.co_firstlineno + 1
    assert f"line {line} of test_exercises.py" in ask(answer).message


def test_an_exception_that_cannot_be_printed():
    class Rude(Exception):
        def __str__(self):
            raise RuntimeError("no")

    def answer(mask, classes):
        raise Rude

    assert "raised Rude" in ask(answer).message


def test_addresses_are_left_out_of_messages():
    """They differ from run to run, and nbval compares the text."""

    def answer(mask, classes):
        raise ValueError(f"bad {Trap()!r}")

    assert "Trap object>" in ask(answer).message and "0x" not in ask(answer).message


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_exceptions_that_usually_end_a_program(kind):
    def answer(mask, classes):
        raise kind

    result = ask(answer)
    assert result.key == "raises"
    assert ("calls exit" if kind is SystemExit else kind.__name__) in result.message


def test_sys_exit_and_endless_recursion():
    assert "calls exit" in ask(lambda mask, classes: sys.exit(3)).message

    def answer(mask, classes):
        return answer(mask, classes)

    assert "calls itself without an end" in ask(answer).message


def endless(mask, classes):
    while True:
        pass


def endless_printing(mask, classes):
    while True:
        print("again" * 100)


def endless_but_for_one_except(mask, classes):
    while True:
        try:
            while True:
                pass
        except Exception:
            pass


@pytest.mark.parametrize("answer", [endless, endless_printing, endless_but_for_one_except])
def test_an_endless_loop_is_stopped(answer):
    threads = threading.active_count()
    result = ask(answer, limit=0.3)
    assert result.key == "late" and "after 0.3 s" in result.message
    assert "restart" not in result.message
    assert threading.active_count() == threads


def test_what_cannot_be_stopped_is_said():
    release = threading.Event()

    def answer(mask, classes):
        while not release.is_set():
            with contextlib.suppress(BaseException):
                time.sleep(0.01)

    try:
        result = ask(answer, limit=0.2)
    finally:
        release.set()
    assert result.key == "late" and "restart the kernel" in result.message


def test_the_label_of_a_late_answer_names_the_case_it_hangs_on():
    def answer(mask, classes):
        while 255 in mask:
            pass
        return right(mask, classes)

    assert "On a mask with void" in ask(answer, limit=0.3).message


def test_printing_is_caught_and_cut():
    def answer(mask, classes):
        for k in range(1000):
            print("row", k)
        return right(mask, classes)

    result = ask(answer)
    assert result.solved
    assert "Your code printed:\nrow 0\nrow 1" in result.message
    assert "… and 6992 more lines, cut" in result.message
    assert len(result.message) < 1000


def test_one_long_line_is_cut_too():
    screen = Screen(room=10)
    screen.write("x" * 1000)
    screen.write("y")
    assert (screen.text(), screen.more()) == ("", 1)


def test_streams_are_put_back(capsys):
    def answer(mask, classes):
        if sys.stdout is not None:
            sys.stdout.close()
        sys.stdout = sys.stderr = None
        return right(mask, classes)

    before = sys.stdout, sys.stderr
    assert ask(answer).solved
    assert (sys.stdout, sys.stderr) == before


def test_changed_inputs_are_said_and_other_cases_not_spoilt():
    def answer(mask, classes):
        planes = right(mask, classes)
        mask[:] = 0
        return planes

    result = ask(answer)
    assert result.key == "changes_inputs" and not result.solved

    def wrong_too(mask, classes):
        mask[mask == 255] = 0
        return right(mask, classes)

    result = ask(wrong_too)
    assert result.key == "void_is_background" and "also changes its inputs" in result.message


def itself_inside():
    loop = []
    loop.append(loop)
    return loop


class Trap:
    def __array__(self, *args, **kwargs):
        raise RuntimeError("no array")


@pytest.mark.parametrize(
    "value, key, says",
    [
        (None, "no_return", "is the return missing?"),
        (3, "shape", "the shape is ()"),
        ("planes", "type", "numbers are needed, and this is text"),
        ([[1, 2], [3]], "type", "different lengths"),
        ((np.zeros((3, 2, 3)), np.zeros(4)), "type", "2 results come back"),
        ([object()], "type", "an object of type object"),
        (np.array([None, 1]), "no_return", "None"),
        ({"a": 1}, "type", "numbers are needed, and this is a dict"),
        ({1, 2}, "type", "numbers are needed"),
        (1j, "type", "complex"),
        (np.zeros((3, 2, 3), complex), "type", "complex"),
        (lambda: 3, "type", "a function"),
        (np.zeros((3, 9, 9)), "shape", "(3, 2, 3) is needed"),
        (np.full((3, 2, 3), np.nan), "nan", "NaN"),
        (Trap(), "raises", "no array"),
        (itself_inside(), "raises", "calls itself"),
        (np.zeros(0), "shape", "(0,)"),
    ],
)
def test_results_that_are_no_answer(value, key, says):
    def answer(mask, classes):
        marker = len(mask)
        return value if marker else None

    result = ask(answer)
    assert result.status == "not yet" and result.key == key
    assert says in result.message


def test_a_generator_is_named():
    def answer(mask, classes):
        for c in range(classes):
            yield mask == c

    assert "this is a generator" in ask(answer).message


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value", [0, "x", [], {}, (), [[]], np.zeros(2), (1, "a"), ([[1], [2, 3]], 4), np.array("x")]
)
def test_no_exercise_stumbles_over_a_strange_result(name, value):
    answer = value if exercise(name).value else (lambda *args: value)
    result = ask(answer, name)
    assert result.status == "not yet" and result.message


def test_a_value_where_a_function_is_asked_for_and_the_other_way_round():
    result = ask(np.zeros((3, 2, 3)))
    assert result.key == "not_callable" and "without brackets" in result.message
    assert "a function" in ask(right, "ex01.palette").message


def test_wrong_arguments():
    result = ask(lambda mask: mask)
    assert "takes 1 positional argument but 2 were given" in result.message


def test_numpy_and_torch_any_float():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64):
        answer = lambda m, c, d=dtype: torch.as_tensor(right(m, c)).to(d)  # noqa: E731
        assert ask(answer).solved
    only_torch = lambda m, c: torch.stack([m.eq(k) for k in range(c)]).requires_grad_(False)  # noqa: E731
    assert ask(only_torch).solved
    grad = lambda m, c: torch.tensor(right(m, c).astype("float32"), requires_grad=True)  # noqa: E731
    assert ask(grad).solved


def test_whole_numbers_are_shown_in_full():
    assert "123456789 is not it" in difference(np.array(123456789), np.array(1)).hint
    assert "where yours is 123456789" in difference([1, 123456789], np.array([1, 2])).hint


def test_another_error_than_the_one_asked_for():
    from answers import ex01 as answers

    said = ask(answers.decode_wrong_error, "ex01.decode_rgb").message
    assert "KeyError" in said and "A ValueError is asked for here." in said


def test_float_tolerance_follows_the_answers_own_type():
    third = np.array([1 / 3, 2 / 3])
    for dtype in ("float16", "float32", "float64"):
        assert difference(third.astype(dtype), third) is None
    assert difference(third + 1e-3, third).key == "values"
    assert difference(np.float32(third + 1e-3), third).key == "values"


# ---- stubs -----------------------------------------------------------------------------------


def stub_with_lines(mask, classes):
    """A stub that begins the work."""
    height, width = mask.shape
    planes = ...
    return planes


def stub_that_stumbles(mask, classes):
    planes = ...
    planes[0] = mask
    return planes


def forgotten_return(mask, classes):
    np.stack([mask == c for c in range(classes)])


def test_stubs_and_a_forgotten_return():
    for stub in (stub_with_lines, stub_that_stumbles, ..., None):
        result = ask(stub)
        assert (result.status, result.key, result.points) == ("not attempted yet", "blank", 0)
    assert ask(forgotten_return).key == "no_return"


def test_an_answer_below_the_dots_counts():
    def answer(mask, classes):
        ...  # noqa: PIE790
        return right(mask, classes)

    assert ask(answer).solved


def test_a_pair_of_functions_is_blank_until_both_are_written():
    from answers import ex05 as answers

    def below_the_dots(run, state):
        ...  # noqa: PIE790
        answers.load_right(run, state)

    for half in [(answers.save_stub, answers.load_right), (answers.save_right, answers.load_stub)]:
        assert ask(half, "ex05.resume").key == "blank"
    assert ask((answers.save_right, below_the_dots), "ex05.resume").solved
    assert "both functions" in ask(answers.save_right, "ex05.resume").message


# ---- the notebooks ---------------------------------------------------------------------------

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def stored(folder, lesson):
    import nbformat

    (path,) = (NOTEBOOKS / folder).glob(f"{lesson}_*.ipynb")
    return nbformat.read(path, as_version=4).cells


def boxes(folder, lesson):
    outputs = [o for c in stored(folder, lesson) for o in c.get("outputs", ())]
    texts = [o.data.get("text/plain", "") for o in outputs if "data" in o]
    return [text.split("\n")[0] for text in texts if text[:1] in "✓✗○" and text]


@pytest.mark.parametrize("lesson", LESSONS)
def test_editions_ask_every_exercise_and_solve_it(lesson):
    names = {e.name for e in exercises(lesson)}
    blank, solved = boxes("exercises", lesson), boxes("solutions", lesson)
    assert {b.split()[1].rstrip(":") for b in blank} == names and len(blank) == len(names)
    assert all(b.startswith("○") for b in blank)
    assert {b.split()[1].rstrip(":") for b in solved} == names
    assert all(b.startswith("✓") for b in solved)


@pytest.mark.parametrize("lesson", LESSONS)
def test_notebooks_say_aim_level_points_and_minutes_as_declared(lesson):
    cells = stored("exercises", lesson)
    for e in exercises(lesson):
        (at,) = [k for k, cell in enumerate(cells) if f'check("{e.name}"' in cell.source]
        task = next(c.source for c in cells[at::-1] if c.source.startswith("## "))
        points = f"{e.points} point" + "s" * (e.points != 1)
        assert f"{e.level}, {points}, about {e.minutes} minutes (an estimate)" in task
        assert f"\n**Aim**: {e.aim}\n" in task
        heading = task.split("\n")[0].removeprefix("## ").replace(". ", " ", 1)
        assert heading.endswith(e.title)
        row = f"| {heading} | {e.level} | {e.points} | {e.minutes} |"
        assert row in cells[0].source


# ---- what is shown ---------------------------------------------------------------------------


class Reader(html.parser.HTMLParser):
    """Collects tags and text as a browser would see them."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_html_is_escaped_and_says_the_same_as_the_text():
    evil = '<img src=x onerror="alert(1)"> & <script>'
    parts = ("not yet", "ex01.one_hot: not yet", "0 of 2 points", evil)
    page = Reader()
    page.feed(showing.as_html(*parts))
    assert set(page.tags) <= {"div", "span", "strong"}
    assert evil in page.text and "✗" in page.text and "not yet" in page.text
    assert evil in showing.as_text(*parts)


def test_what_an_answer_says_cannot_become_html():
    def answer(mask, classes):
        print("<b>bold</b>")
        raise ValueError("<script>alert(1)</script>")

    result = ask(answer)
    page = Reader()
    page.feed(showing.as_html(result.status, "head", "", result.message))
    assert "script" not in page.tags and "b" not in page.tags
    assert "<script>" in page.text


def test_status_is_never_told_by_colour_alone():
    assert len(set(showing.SIGNS.values())) == len(showing.SIGNS)
    for status in ("solved", "not yet", "not attempted yet"):
        assert status in showing.as_text(status, f"x: {status}", "", "body")


def test_check_prints_plain_text_outside_jupyter(capsys):
    result = check("ex01.one_hot", lambda mask, classes: right(mask, classes))
    assert capsys.readouterr().out == (
        "✓ ex01.one_hot: solved (2 of 2 points)\n  Right on all 7 cases.\n"
    )
    assert repr(result) == "<ex01.one_hot: solved, 2 of 2 points>"
    check("ex01.one_hot", ...)
    assert capsys.readouterr().out.startswith("○ ex01.one_hot: not attempted yet (0 of 2 points)")


def test_a_terminal_without_the_signs(monkeypatch):
    command = "from segutils.exercises import check; check('ex02.worker_seeds', 24)"
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        env=env,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    assert "ex02.worker_seeds: not yet" in done.stdout


def test_hints_come_one_a_time_and_end_with_the_target(capsys):
    from segutils.exercises import _asked

    _asked.clear()
    for _ in range(3):
        hint("ex01.one_hot")
    first, second, third = capsys.readouterr().out.split("? ")[1:]
    assert "hint 1 of 2" in first and "hint 2 of 2" in second and second == third
    assert "gives" in second
    _asked.clear()


def test_names_that_do_not_exist():
    with pytest.raises(ValueError, match="ex01 has .*decode_rgb"):
        check("ex01.decode", None)
    with pytest.raises(ValueError, match="the lessons with exercises are"):
        check("decode_rgb", None)


def test_two_runs_say_exactly_the_same():
    for name in NAMES:
        answer = "x" if exercise(name).value else (lambda *args: np.zeros(3))
        assert ask(answer, name) == ask(answer, name)


@pytest.fixture(scope="module")
def kernel_outputs():
    """What a real kernel stores for the cells below."""
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "from segutils.exercises import check, hint\nimport numpy as np",
        "check('ex02.worker_seeds', 24)",
        "def f(mask, classes):\n    y = 1\n    return mask / 'two'\ncheck('ex01.one_hot', f)",
        "hint('ex01.resize_nearest')\nhint('ex01.resize_nearest')",
        "r = check('ex02.worker_seeds', ...)\nr.solved",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, timeout=120).execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_kernel_shows_one_box(kernel_outputs):
    (box,) = kernel_outputs[1]
    assert set(box.data) == {"text/plain", "text/html"}
    assert box.data["text/plain"].startswith("✗ ex02.worker_seeds: not yet (0 of 1 point)")


def test_a_cells_own_line_number_is_named(kernel_outputs):
    (box,) = kernel_outputs[2]
    assert "line 3 of your cell: return mask / 'two'" in box.data["text/plain"]


def test_the_target_picture_is_an_image_beside_the_box(kernel_outputs):
    kinds = [set(output.data) for output in kernel_outputs[3]]
    assert kinds == [{"text/plain", "text/html"}] * 2 + [{"text/plain", "image/png"}]


def test_the_result_can_be_used(kernel_outputs):
    assert kernel_outputs[4][-1].data["text/plain"] == "False"
