"""Writes the marks: a table for spreadsheets, and a page for people. All text in them is hostile.

Names, hints and what students' code printed are escaped in the page, which runs no script and loads
nothing; in the table, text that a spreadsheet would take for a formula is kept from it.
"""

import csv
import io
import os
from collections import Counter
from html import escape
from pathlib import Path

from segutils.exercises import exercise
from segutils.exercises.showing import SIGNS
from segutils.grading.marking import Grades, Mark, summary

COLUMNS = ("student", "exercise", "points", "of", "status", "hint")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
SIGN = {**SIGNS, "not marked": "!", "no notebook": "·"}
COMMON = 3  # mistakes shown of an exercise
STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 75em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border: 1px solid #8888; padding: .2em .6em; text-align: left; vertical-align: top; }
.n { text-align: right; white-space: nowrap; }
.high { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
.wide { overflow-x: auto; }
.hint { white-space: pre-wrap; overflow-wrap: anywhere; }
.bar { display: inline-block; height: .7em; background: #009e73; }
.rest { display: inline-block; height: .7em; background: #8884; }
"""


def write(grades: Grades, path: Path) -> Path:
    """Write the table, and the page beside it; returns the page's path."""
    page = path.with_suffix(".html")
    for target, text in ((path, table(grades)), (page, html(grades))):
        part = target.with_name(target.name + ".part")
        part.write_text(text, encoding="utf-8", errors="replace", newline="")
        os.replace(part, target)
    return page


# ---- the table -----------------------------------------------------------------------------------


def table(grades: Grades) -> str:
    """The table as CSV: a row for each student and exercise, and one for each student's total."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for student in grades.students:
        marks = grades.of(student)
        for mark in marks:
            points = "" if mark.points is None else mark.points
            rows.writerow([cell(student), mark.exercise, points, mark.of, mark.status,
                           cell(mark.hint)])
        open_ = sum(mark.points is None for mark in marks)
        points, of = (sum(values) for values in ([m.points or 0 for m in marks],
                                                 [m.of for m in marks]))
        rows.writerow([cell(student), "total", points, of,
                       f"{open_} not marked" if open_ else "", ""])
    return text.getvalue()


def cell(text: str) -> str:
    """Text on one line that no spreadsheet takes for a formula."""
    text = " ".join(text.replace("\0", "").split())
    return "'" + text if text.startswith(FORMULA) else text


# ---- the page ------------------------------------------------------------------------------------


def html(grades: Grades) -> str:
    """The page: the class, each exercise with its most common mistakes, and each student."""
    unmarked = grades.unmarked()
    open_ = (f"<p><strong>{len(unmarked)} exercises are not marked</strong>: a limit stopped them, "
             "and they count neither as right nor as wrong.</p>") if unmarked else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in grades.notes)
    left_out = f"<h2>Files left out</h2><ul>{notes}</ul>" if notes else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>Grades</title><style>{STYLE}</style></head><body>\n<h1>Grades</h1>\n"
        f"<p>{len(grades.students)} students, {len(grades.exercises)} exercises. "
        f"{legend()}</p>\n{open_}{left_out}\n"
        f"<h2>The class</h2>\n{overview(grades)}\n<h2>The exercises</h2>\n"
        + "\n".join(one_exercise(grades, name) for name in grades.exercises)
        + "\n<h2>The students</h2>\n"
        + "\n".join(one_student(grades, student) for student in grades.students)
        + "\n<p>Grading runs each notebook in a process of its own. That is no boundary against a "
        "determined attacker; a container is.</p>\n</body></html>\n"
    )


def legend() -> str:
    return ", ".join(f"{sign} {status}" for status, sign in SIGN.items() if status != "hint") + "."


def overview(grades: Grades) -> str:
    """Points of everyone in everything."""
    heads = "".join(f'<th class="high">{escape(name)}</th>' for name in grades.exercises)
    rows = []
    for student in grades.students:
        marks = grades.of(student)
        cells = "".join(f'<td class="n">{SIGN[m.status]} {points(m)}</td>' for m in marks)
        total = f'<td class="n">{summary(marks)}</td>'
        rows.append(f"<tr><th>{escape(student)}</th>{total}{cells}</tr>")
    return (f'<div class="wide"><table><tr><th>student</th><th>all</th>{heads}</tr>'
            f"{''.join(rows)}</table></div>")


def points(mark: Mark) -> str:
    return "–" if mark.points is None else str(mark.points)


def one_exercise(grades: Grades, name: str) -> str:
    """How the class did in one exercise, and what most of those who did not went wrong with."""
    marks, task = grades.on(name), exercise(name)
    counts = Counter(mark.status for mark in marks)
    solved = counts["solved"] / len(marks)
    said = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    mistakes = "".join(
        f"<li><strong>{n} of {len(marks)}</strong>: <span class=\"hint\">{escape(hint)}</span></li>"
        for n, hint in common(marks))
    listed = f"<p>Most common mistakes:</p><ol>{mistakes}</ol>" if mistakes else ""
    return (
        f"<h3>{escape(name)}: {escape(task.title)}</h3>"
        f'<p><span class="bar" style="width:{20 * solved:.1f}em"></span>'
        f'<span class="rest" style="width:{20 - 20 * solved:.1f}em"></span> {escape(said)}; '
        f"{task.points} points</p>{listed}")


def common(marks: list[Mark], most: int = COMMON) -> list[tuple[int, str]]:
    """[(how many made it, its hint), …] of an exercise's mistakes, the most common first.

    A mistake is told by its key; where hints of one key differ, the first student's is an example.
    """
    hints: dict[str, list[str]] = {}
    for mark in marks:
        if mark.status == "not yet":
            hints.setdefault(mark.key, []).append(mark.hint.split("\nYour code printed:")[0])
    found = sorted(hints.values(), key=len, reverse=True)[:most]
    return [(len(h), h[0] if len({*h}) == 1 else f"such as: {h[0]}") for h in found]


def one_student(grades: Grades, student: str) -> str:
    """One student's marks and hints, folded up."""
    marks = grades.of(student)
    rows = "".join(
        f'<tr><td>{SIGN[m.status]} {escape(m.status)}</td><td>{escape(m.exercise)}</td>'
        f'<td class="n">{points(m)} of {m.of}</td><td class="hint">{escape(m.hint)}</td></tr>'
        for m in marks)
    return (f"<details><summary>{escape(student)}: {summary(marks)}</summary>"
            f'<div class="wide"><table>{rows}</table></div></details>')
