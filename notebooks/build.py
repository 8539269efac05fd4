"""Makes the course's notebooks out of their sources in `notebooks/src`.

    python notebooks/build.py                  run all, store the outputs, print which changed
    python notebooks/build.py 01 ex01          only these (a beginning of the name is enough)
    python notebooks/build.py --prose 01       only words changed: keep the outputs, run nothing
    python notebooks/build.py --check          run nothing: prove that the notebooks are fresh
    python notebooks/build.py --from-ipynb P   take an edit made in Jupyter back into its source
    python notebooks/build.py --student-bundle OUT   what students need, as a folder or a .zip
    python notebooks/build.py --nbgrader OUT         the exercises as the sources of nbgrader

A source `NN_name.py` becomes the lesson `notebooks/NN_name.ipynb`. A source `exNN_name.py` becomes
two notebooks: `exercises/` (code between `### BEGIN SOLUTION` and `### END SOLUTION` replaced by a
stub) and `solutions/`. Cells tagged `solution-only` or `student-only` go to one of the two alone.
So does `capstone.py`, which a person marks by its rubric: it has no checks and no nbgrader source.
"""

import argparse
import ast
import atexit
import difflib
import hashlib
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import bundle
import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

FOLDER = Path(__file__).resolve().parent
CELL_SECONDS = 600
MAX_BYTES = 2_000_000
MIN_COMPARED = 0.85
CAPSTONE = "capstone"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "...  # your code here"
GRADE = """\
# Locked: gives the points of {name}.
from segutils.exercises import check

check("{name}", {answer}, quiet=True).points"""
NBGRADER_CONFIG = f"""\
# Written by notebooks/build.py. The stub is the one that `check` knows as not attempted.
c = get_config()
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
c.Execute.timeout = {CELL_SECONDS}  # seconds a cell
"""
UNCOMPARED = {"nbval-ignore-output", "nbval-skip"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PERCENT = {"extension": ".py", "format_name": "percent"}


class BuildError(Exception):
    """Something in a source or a notebook that its author has to mend; one line says what."""


class Target(NamedTuple):
    """One notebook to be made: which source, which edition of it, and where it goes."""

    source: Path
    edition: str  # "lesson", "exercise", "solution" or "nbgrader"
    path: Path

    @property
    def name(self):
        folders = {"exercise": "exercises/", "solution": "solutions/"}
        return folders.get(self.edition, "") + self.source.stem


# ---- sources and their editions -----------------------------------------------------------------


def targets(folder=FOLDER, names=()):
    """All notebooks that the sources of `folder` make; with `names`, only those asked for."""
    sources = sorted((folder / "src").glob("*.py"))
    for name in names:
        if not any(source.stem.startswith(Path(name).stem) for source in sources):
            known = ", ".join(source.stem for source in sources) or "none"
            raise BuildError(f"no source begins with {name!r}; there are: {known}")
    if names:
        sources = [s for s in sources if any(s.stem.startswith(Path(n).stem) for n in names)]
    made = []
    for source in sources:
        if re.match(r"ex\d\d_", source.stem) or source.stem == CAPSTONE:
            made.append(Target(source, "exercise", folder / "exercises" / f"{source.stem}.ipynb"))
            made.append(Target(source, "solution", folder / "solutions" / f"{source.stem}.ipynb"))
        elif re.match(r"\d\d_", source.stem):
            made.append(Target(source, "lesson", folder / f"{source.stem}.ipynb"))
        else:
            raise BuildError(
                f"{source.name}: a source is named NN_name.py, exNN_name.py or {CAPSTONE}.py"
            )
    return sorted(made, key=lambda t: (["lesson", "exercise", "solution"].index(t.edition), t.name))


def read_source(path):
    """The cells of a percent-format source; of their metadata only tags and nbgrader's are kept."""
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt=PERCENT)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type not in ("markdown", "code"):
            raise BuildError(f"{path.name}, cell {number}: {cell.cell_type} cells are not used")
        if not cell.source.strip():
            raise BuildError(f"{path.name}, cell {number}: empty cell")
        cell.metadata = {k: cell.metadata[k] for k in ("tags", "nbgrader") if k in cell.metadata}
    return notebook.cells


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def split_solution(code, where=""):
    """Student's code (stubs for solution blocks) and the list of the solution's lines."""
    student, solution, inside = [], [], False
    for line in code.split("\n"):
        marker = line.strip()
        if marker in (BEGIN, END):
            if inside == (marker == BEGIN):
                raise BuildError(f"{where}: {marker!r} without its partner")
            inside = marker == BEGIN
            if inside:
                student.append(line[: len(line) - len(line.lstrip())] + STUB)
        else:
            (solution if inside else student).append(line)
    if inside:
        raise BuildError(f"{where}: {BEGIN!r} without its partner")
    return "\n".join(student), solution


def make(target):
    """The notebook of a target, not yet run, with ids that depend on its text alone."""
    student, solved = "student-only", "solution-only"
    drop = {"exercise": solved, "nbgrader": solved, "solution": student}.get(target.edition)
    cells = [cell for cell in read_source(target.source) if drop not in tags(cell)]
    for number, cell in enumerate(cells):
        if BEGIN in cell.source and target.edition == "lesson":
            raise BuildError(f"{target.name}, cell {number}: solutions belong in an exercise")
        if target.edition == "exercise":
            cell.source, _ = split_solution(cell.source, f"{target.name}, cell {number}")
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=notebook_metadata())
    for cell, new_id in zip(cells, fresh_ids(target.name, cells), strict=True):
        cell.id = new_id
    return notebook


def notebook_metadata():
    """Says "Python 3" without a patch version, so that another Python makes no difference."""
    return {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {
            "codemirror_mode": {"name": "ipython", "version": 3},
            "file_extension": ".py",
            "mimetype": "text/x-python",
            "name": "python",
            "pygments_lexer": "ipython3",
        },
    }


def fresh_ids(name, cells):
    """An id for each cell from the notebook's name and the cell's text: same source, same ids."""
    ids, used = [], set()
    for cell in cells:
        again = 0
        while True:
            text = f"{name}|{cell.cell_type}|{cell.source}|{again}"
            new = hashlib.sha256(text.encode()).hexdigest()[:8]
            again += 1
            if new not in used:
                break
        used.add(new)
        ids.append(new)
    return ids


def pairs(old, new):
    """Pairs (old cell, new cell) that are the same cell: equal, or edited in place."""
    key = [[(c.cell_type, c.source) for c in cells] for cells in (old, new)]
    matcher = difflib.SequenceMatcher(None, *key, autojunk=False)
    for what, a, a_end, b, b_end in matcher.get_opcodes():
        if what == "equal":
            yield from zip(old[a:a_end], new[b:b_end], strict=True)
        elif what == "replace":
            left = list(new[b:b_end])
            for cell in old[a:a_end]:
                same = [c for c in left if c.cell_type == cell.cell_type]
                best = max(same, key=lambda c: alike(cell.source, c.source), default=None)
                if best is not None and alike(cell.source, best.source) > 0.5:
                    left = left[left.index(best) + 1 :]  # the order of cells is kept
                    yield cell, best


def alike(a, b):
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def keep_ids(old, new):
    """Gives the cells of `new` the ids that the same cells have in `old`."""
    for before, after in pairs(old.cells, new.cells):
        after.id = before.id
    used = set()
    for cell in new.cells:
        while cell.id in used:
            cell.id = hashlib.sha256(cell.id.encode()).hexdigest()[:8]
        used.add(cell.id)


# ---- running ------------------------------------------------------------------------------------


def kernel_environment():
    """The environment in which the build and nbval both run notebooks: the same on every machine.

    A reader's own start-up files, plotting backend or terminal width must not show in outputs.
    """
    drop = ("MPLBACKEND", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS")
    env = {k: v for k, v in os.environ.items() if k not in drop}
    profile = tempfile.mkdtemp(prefix="ipython-")
    atexit.register(shutil.rmtree, profile, ignore_errors=True)
    env.update(
        IPYTHONDIR=profile,
        PYTHONHASHSEED="0",
        NO_ALBUMENTATIONS_UPDATE="1",
    )
    return env


def run(notebook, folder, tick=lambda number: None):
    """Runs all cells in `folder` with this very Python, and stores tidy outputs."""
    from jupyter_client.manager import AsyncKernelManager
    from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(
            kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager()
        ),
        timeout=CELL_SECONDS,
        startup_timeout=CELL_SECONDS,  # a busy machine takes long to start a kernel
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=40"],  # no warnings of the kernel's own on the terminal
        resources={"metadata": {"path": str(folder)}},
        on_cell_executed=lambda cell, cell_index, **_: tick(cell_index + 1),
    )
    client.execute(env=kernel_environment(), cleanup_kc=True)
    tidy(notebook)


def tidy(notebook):
    """Removes what differs from run to run or from machine to machine and says nothing."""
    notebook.metadata = nbformat.from_dict(notebook_metadata())
    for cell in notebook.cells:
        kept = {k: cell.metadata[k] for k in ("tags", "nbgrader") if k in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        if UNCOMPARED & set(cell.metadata.get("tags", ())):  # a bar's "0%" is of no use when stored
            cell.outputs = [o for o in cell.outputs if WIDGET_VIEW not in o.get("data", {})]
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET_VIEW, None)  # a random id, of no use when stored
            if output.output_type == "error":
                output.traceback = [short_paths(line) for line in output.traceback]


def short_paths(text):
    """A traceback's paths from the package's or the repository's folder on."""
    text = re.sub(r"[^\s\x1b]*site-packages[/\\]", "", text)
    text = re.sub(r"[^\s\x1b]*[/\\]ipykernel_\d+[/\\]", "", text)
    return text.replace(str(FOLDER.parent) + os.sep, "")


def build(target, tick=lambda number: None, prose=False):
    """Makes one notebook, runs it and writes it; returns the lines that say what changed."""
    target.path.parent.mkdir(exist_ok=True)
    old = nbformat.read(target.path, as_version=4) if target.path.exists() else None
    new = make(target)
    if old is not None:
        keep_ids(old, new)
    if prose:
        reuse_outputs(target, old, new)
    else:
        try:
            run(new, target.path.parent, tick)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise BuildError(why_it_stopped(target, new, error)) from None
    write(new, target.path)
    return [] if old is None else changes(target.name, old, new)


def reuse_outputs(target, old, new):
    """For an edit of words only: the outputs of the unchanged code cells stay."""
    before, after = ([c for c in n.cells if c.cell_type == "code"] for n in (old or new, new))
    if old is None or [c.source for c in before] != [c.source for c in after]:
        raise BuildError(f"{target.name}: code has changed, so build it without --prose")
    for was, cell in zip(before, after, strict=True):
        cell.outputs, cell.execution_count = was.outputs, was.execution_count


def why_it_stopped(target, notebook, error):
    """Names the cell that stopped a build, its first line, and the end of the traceback."""
    if isinstance(error, CellTimeoutError):
        return f"{target.name}: a cell ran longer than {CELL_SECONDS} s: {error}".split("\n")[0]
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                trace = "\n".join(output.traceback)
                return f"{trace}\n{target.name}, cell {number} ({first_line(cell)}): {output.ename}"
    return f"{target.name}: the kernel died"


def write(notebook, path):
    """Writes a notebook with `\\n` line ends, whole or not at all."""
    text = nbformat.writes(notebook) + "\n"
    part = path.with_suffix(".part")
    part.write_bytes(text.encode("utf-8"))
    os.replace(part, path)


def first_line(cell):
    return cell.source.strip().split("\n")[0][:60]


# ---- what changed -------------------------------------------------------------------------------


def shown(cell):
    """What a cell shows, as lines: its texts, and a digest in place of each picture."""
    lines = []
    for output in cell.get("outputs", ()):
        for mime, text in texts(output, pictures=True):
            if mime.startswith("image/") and mime != "image/svg+xml":
                digest = hashlib.sha256(str(text).encode()).hexdigest()[:8]
                lines.append(f"{mime.split('/')[1].upper()} picture {digest}")
            else:
                lines += str(text).splitlines()
    return lines


def texts(output, pictures=False):
    """(MIME type, text) of all that an output stores."""
    if output.output_type == "stream":
        yield "text/plain", output.text
    elif output.output_type == "error":
        yield "text/plain", f"{output.ename}: {output.evalue}"
        yield "text/x-traceback", "\n".join(output.traceback)
    for mime, value in sorted(output.get("data", {}).items()):
        if pictures or not re.match(r"image/(?!svg)", mime):
            yield mime, value if isinstance(value, str) else str(value)


def changes(name, old, new):
    """One line for each cell whose output is not what was stored before."""
    before = {cell.id: cell for cell in old.cells}
    report = []
    for number, cell in enumerate(new.cells):
        was = before.get(cell.id)
        if cell.cell_type != "code" or was is None or shown(was) == shown(cell):
            continue
        a, b = shown(was), shown(cell)
        first = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
        if first is None:
            first = min(len(a), len(b))
        left, right = ((s[first][:80] if first < len(s) else "(nothing)") for s in (a, b))
        report.append(f"{name}, cell {number} ({first_line(cell)}): {left!r} -> {right!r}")
    return report


# ---- checking -----------------------------------------------------------------------------------


def check(folder=FOLDER):
    """All that is wrong with the stored notebooks, a line each, and the share nbval compares."""
    wrong, compared, storing = [], 0, 0
    made = targets(folder)
    for target in made:
        if not target.path.exists():
            wrong.append(f"{target.name}: not built yet; run `python notebooks/build.py`")
            continue
        notebook = nbformat.read(target.path, as_version=4)
        wrong += [f"{target.name}: {line}" for line in faults(target, notebook)]
        stored = [c for c in notebook.cells if c.cell_type == "code" and stores_text(c)]
        storing += len(stored)
        compared += sum(not tags(cell) & UNCOMPARED for cell in stored)
    known = {target.path for target in made}
    for place in (folder, folder / "exercises", folder / "solutions"):
        for path in sorted(place.glob("*.ipynb")):
            if path not in known:
                wrong.append(f"{path.relative_to(folder)}: has no source in src/; delete it")
    if storing and compared / storing < MIN_COMPARED:
        wrong.append(f"nbval compares {compared} of {storing} cells, under {MIN_COMPARED:.0%}")
    return wrong, compared, storing


def faults(target, notebook):
    """What is wrong with one notebook."""
    yield from stale(target, notebook)
    yield from stored_state(target, notebook)
    yield from machine_paths(notebook)
    yield from links(target, notebook)
    if target.edition == "lesson" and not target.source.stem.startswith("00"):
        yield from style(notebook)
    if target.edition == "exercise":
        yield from leaks(target, notebook)


def stale(target, notebook):
    """Cells that differ from the source in type, text or tags."""
    fresh = make(target).cells
    for number, (cell, want) in enumerate(zip(notebook.cells, fresh, strict=False)):
        for what, a, b in (
            ("type", cell.cell_type, want.cell_type),
            ("text", cell.source, want.source),
            ("tags", tags(cell), tags(want)),
        ):
            if a != b:
                yield f"cell {number} is stale ({what}): {first_line(want)!r}; build it again"
                return
    if len(notebook.cells) != len(fresh):
        yield f"stale: {len(notebook.cells)} cells, the source makes {len(fresh)}; build it again"


def stored_state(target, notebook):
    """Execution counts, stored errors, widget state, metadata and size."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        at = next(i for i, n in enumerate(counts) if n != i + 1)
        yield f"execution counts are not 1..n: code cell {at + 1} has {counts[at]}"
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                yield f"cell {number} stores an error: {output.ename}: {output.evalue}"
        if extra := set(cell.metadata) - {"tags", "nbgrader"}:
            yield f"cell {number} has metadata {sorted(extra)}"
    if extra := set(notebook.metadata) - {"kernelspec", "language_info"}:
        yield f"stored metadata.{' and '.join(sorted(extra))}"
    if (size := target.path.stat().st_size) > MAX_BYTES:
        yield f"{size / 1e6:.1f} MB, and {MAX_BYTES / 1e6:.0f} MB are allowed"


def machine_paths(notebook):
    """Outputs that name a folder of the machine on which the notebook was built."""
    here = {str(Path.home()), str(FOLDER.parent), tempfile.gettempdir(), sys.prefix} - {"/"}
    anywhere = r"/home/\w|/Users/\w|/root/|/tmp/|/var/folders/|[A-Za-z]:\\+Users|site-packages"
    pattern = re.compile("|".join([re.escape(p) + r"(?![\w-])" for p in here] + [anywhere]))
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            for mime, text in texts(output):
                text = re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", text)
                if found := pattern.search(text):
                    what = "a traceback" if mime == "text/x-traceback" else "its output"
                    yield f"cell {number}: {what} names a path of the machine: {found[0]!r}"


def links(target, notebook):
    """Pictures without alt text, and relative links that lead nowhere.

    Copies of the notebooks lie in `my_workbook/`, so a link goes to a notebook beside this one, or
    up and down again from the repository's folder: `../data/README.md`.
    """
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        text = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.DOTALL)
        if re.search(r"!\[\s*\]\(", text) or re.search(r"<img(?![^>]*\balt=[\"']\w)", text):
            yield f"cell {number}: a picture without alt text"
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            link = link.split("#")[0]
            if not link or re.match(r"[a-z]+:", link):
                continue
            if not (target.path.parent / link).exists():
                yield f"cell {number}: the link {link!r} leads nowhere"
            elif target.edition != "solution" and not reachable_from_copy(target, link):
                yield f"cell {number}: the link {link!r} leads nowhere from my_workbook/"


def reachable_from_copy(target, link):
    """Whether a link works in the reader's copy too: lessons and exercises alone are copied."""
    inner = target.path.parent if target.edition == "lesson" else target.path.parent.parent
    copies = inner.parent / "my_workbook"
    place = Path(os.path.normpath(copies / target.path.parent.relative_to(inner) / link))
    if not place.is_relative_to(copies):
        return place.exists()
    copied = place.relative_to(copies)
    return copied.suffix == ".ipynb" and copied.parent.as_posix() in (".", "exercises")


def style(notebook):
    """The measurable part of what CONTRIBUTING.md calls a lesson."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    words = len(notebook.cells) - len(code)
    lengths = [sum(bool(line.strip()) for line in cell.source.split("\n")) for cell in code]
    if not 40 <= len(notebook.cells) <= 90:
        yield f"{len(notebook.cells)} cells; a lesson has 40 to 90"
    if code and statistics.median(lengths) > 8:
        yield f"code cells have a median of {statistics.median(lengths):g} lines; at most 8"
    if not len(code) <= words <= 2 * len(code):
        yield f"{words} Markdown cells to {len(code)} code cells; the ratio is 1 to 2"


def leaks(target, notebook):
    """Lines of a solution that a student could read in the exercise."""
    solution, open_lines = set(), {STUB}
    for cell in read_source(target.source):
        outside, inside = split_solution(cell.source, target.name)
        hidden = cell.source.split("\n") if "solution-only" in tags(cell) else inside
        solution |= {line.strip() for line in hidden} - {""}
        if "solution-only" not in tags(cell):
            open_lines |= {line.strip() for line in outside.split("\n")}
    for number, cell in enumerate(notebook.cells):
        lines = cell.source.split("\n") + [line for line in shown(cell) if len(line) > 8]
        for line in {line.strip() for line in lines} & (solution - open_lines):
            yield f"cell {number}: shows a line of the solution: {line!r}"


def stores_text(cell):
    """Whether a cell stores text that nbval could compare; a figure's own line is not text."""
    for output in cell.get("outputs", ()):
        for mime, text in texts(output):
            plain = re.sub(r"<(Figure|Axes)[^\n]*>", "", text).strip()
            if mime == "text/plain" and plain:
                return True
            if mime in ("text/html", "image/svg+xml"):
                return True
    return False


# ---- for nbgrader -------------------------------------------------------------------------------


def write_nbgrader(made, out):
    """Writes an nbgrader course with the exercises of `made`, an assignment for each lesson."""
    out = Path(out)
    if out.exists():
        raise BuildError(f"{out} exists already: delete it, or choose another name")
    exercises = [t for t in made if t.edition == "exercise" and t.source.stem != CAPSTONE]
    if not exercises:
        raise BuildError("none of these is an exercise: name one such as ex01")
    sources = {target.source.stem: nbgrader_source(target) for target in exercises}
    for stem, notebook in sources.items():
        path = out / "source" / stem.split("_")[0] / f"{stem}.ipynb"
        path.parent.mkdir(parents=True)
        write(notebook, path)
    (out / "nbgrader_config.py").write_text(NBGRADER_CONFIG, encoding="utf-8")
    return sorted(sources)


def nbgrader_source(target):
    """An exercise solved, with nbgrader's metadata, and behind each check a cell for its points.

    The points are those that `segutils.exercises` declares; cells have the ids that they have in
    the students' edition.
    """
    from segutils.exercises import exercise

    notebook = make(target._replace(edition="nbgrader"))
    student = nbformat.read(target.path, as_version=4) if target.path.exists() else make(target)
    for fault in stale(target, student):
        raise BuildError(f"{target.name}: {fault}")
    cells = []
    for number, (cell, own) in enumerate(zip(notebook.cells, student.cells, strict=True)):
        cell.id = own.id
        name, answer = checked(cell)
        if BEGIN in cell.source:
            if not name:
                raise BuildError(f"{target.name}, cell {number}: a solution without its check(...)")
            mark(cell, grade_id(name, "-answer"), solution=True)
        cells.append(cell)
        if name:
            cells.append(nbformat.v4.new_code_cell(GRADE.format(name=name, answer=answer)))
            cells[-1].id = grade_id(name)
            points = exercise(name).points
            mark(cells[-1], grade_id(name), grade=True, locked=True, points=points)
    notebook.cells = cells
    return notebook


def checked(cell):
    """The exercise's name and the answer, as text, of a cell's `check(name, answer)`."""
    if cell.cell_type == "code" and "check(" in cell.source:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
                return node.args[0].value, ast.get_source_segment(cell.source, node.args[1])
    return "", ""


def grade_id(name, ending=""):
    """An exercise's name as nbgrader allows it: "ex01-one_hot" for "ex01.one_hot"."""
    return name.replace(".", "-") + ending


def mark(cell, own_id, **roles):
    """Gives a cell nbgrader's metadata, in its schema 3."""
    plain = dict(schema_version=3, grade=False, solution=False, locked=False, task=False)
    cell.metadata["nbgrader"] = {**plain, "cell_type": "code", "grade_id": own_id, **roles}


# ---- from Jupyter back to the source ------------------------------------------------------------


def from_ipynb(path, folder=FOLDER):
    """Takes the cells of an edited notebook back into its source; returns the source's path."""
    path = Path(path)
    if not path.exists():
        raise BuildError(f"{path}: no such notebook")
    made = [target for target in targets(folder) if target.source.stem == path.stem]
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.source.strip()]
    if made and made[0].edition == "exercise":
        cells = with_student_cells(path, made[0].source, cells)
    source = made[0].source if made else folder / "src" / f"{path.stem}.py"
    for cell in cells:
        cell.metadata = {k: cell.metadata[k] for k in ("tags", "nbgrader") if k in cell.metadata}
    keep_spacing(source, cells)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["jupytext"] = {
        "notebook_metadata_filter": "-all",
        "cell_metadata_filter": "tags,nbgrader,-all",
    }
    text = jupytext.writes(notebook, fmt=PERCENT)
    source.parent.mkdir(exist_ok=True)
    source.write_bytes((text.rstrip("\n") + "\n").encode("utf-8"))
    return source


def keep_spacing(source, cells):
    """Leaves the blank lines between unchanged cells as they stand in the source."""
    if not source.exists():
        return
    old = jupytext.reads(source.read_text(encoding="utf-8"), fmt=PERCENT).cells
    for before, after in pairs(old, cells):
        if "lines_to_next_cell" in before.metadata:
            after.metadata["lines_to_next_cell"] = before.metadata["lines_to_next_cell"]


def with_student_cells(path, source, cells):
    """The solved notebook's cells, with the cells that only students see put back in place."""
    old = read_source(source)
    hidden = sum(cell.source.count(BEGIN) for cell in old)
    if sum(cell.source.count(BEGIN) for cell in cells) < hidden:
        raise BuildError(
            f"{path}: has fewer solutions than {source.name} ({hidden}); "
            "edit the notebook in solutions/, not the students' one"
        )
    same = {id(before): after for before, after in pairs(old, cells)}
    result = list(cells)
    for number, cell in enumerate(old):
        if "student-only" in tags(cell):
            at = 0
            for before in old[:number]:
                after = same.get(id(before), before)
                at = next((i + 1 for i, c in enumerate(result) if c is after), at)
            result.insert(at, cell)
    return result


# ---- the command --------------------------------------------------------------------------------


def build_all(made, prose=False, console=None):
    """Builds the targets one after the other; returns the number that failed."""
    console = console or Console()
    failed, report, minutes = 0, [], {}
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("cell {task.completed}"))
    for target in made:
        start = time.perf_counter()
        with Progress(
            *columns,
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as bar:
            task = bar.add_task(target.name, total=len(make(target).cells))
            try:
                report += build(target, lambda n: bar.update(task, completed=n), prose)  # noqa: B023
            except BuildError as error:
                failed += 1
                console.print(str(error), style="red", markup=False, highlight=False)
                continue
        minutes[target.name] = (time.perf_counter() - start) / 60
        console.print(f"{target.name}: {minutes[target.name]:.1f} min", highlight=False)
    for line in report:
        console.print("changed: " + line, markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{len(made) - failed} of {len(made)} notebooks built in {sum(minutes.values()):.1f} min; "
        f"outputs changed in {len(report)} cells",
        highlight=False,
        soft_wrap=True,
    )
    return failed


def print_check(folder):
    wrong, compared, storing = check(folder)
    for line in wrong:
        print(line)
    share = f"{compared / storing:.0%}" if storing else "no cells"
    print(f"nbval compares {compared} of {storing} cells that store text ({share})")
    print(f"{len(targets(folder))} notebooks, {len(wrong)} faults")
    return bool(wrong)


def student_bundle(made, out, folder):
    """Writes the bundle of the lessons and exercises in `made`; returns a line that says so.

    A notebook with a fault is not handed out: a stale one could show a solution.
    """
    bundle.refuse(out)
    handed = [target for target in made if target.edition != "solution"]
    for target in handed:
        if not target.path.exists():
            raise BuildError(f"{target.name}: not built yet; run `python notebooks/build.py`")
        for fault in faults(target, nbformat.read(target.path, as_version=4)):
            raise BuildError(f"{target.name}: {fault}")
    files = bundle.contents(folder.parent, [target.path for target in handed])
    bundle.write(out, files)
    size = sum(map(len, files.values())) / 1e6
    return f"{out}: {len(handed)} notebooks, {len(files)} files, {size:.0f} MB unpacked"


def main(arguments=None, folder=FOLDER):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="sources to build (default: all)")
    parser.add_argument("--check", action="store_true", help="run nothing; list what is wrong")
    parser.add_argument("--prose", action="store_true", help="keep outputs; run nothing")
    parser.add_argument("--from-ipynb", metavar="PATH", help="take an edited notebook back")
    parser.add_argument("--student-bundle", metavar="OUT", help="a folder, or a file OUT.zip")
    parser.add_argument("--nbgrader", metavar="OUT", help="a folder: an nbgrader course")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            return int(print_check(folder))
        if options.from_ipynb:
            print(f"written: {from_ipynb(options.from_ipynb, folder).name}; look at `git diff`")
            return 0
        made = targets(folder, options.names)
        if options.student_bundle:
            print(student_bundle(made, options.student_bundle, folder))
            return 0
        if options.nbgrader:
            names = write_nbgrader(made, options.nbgrader)
            print(f"{options.nbgrader}: the sources of {', '.join(names)}")
            return 0
        return int(build_all(made, options.prose) > 0)
    except (BuildError, bundle.BundleError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
