"""The command `workbook`: gives the reader copies of the notebooks, and opens them in JupyterLab.

    uv run workbook                     copies into my_workbook/, then opens the start lesson
    uv run workbook --list              which notebooks there are, and which of them you changed
    uv run workbook --reset 01          brings one back as the course has it; yours stays beside it
    uv run workbook --check             checks the set-up: one line for each thing that is wrong
    uv run workbook --no-open           copies only
    uv run workbook -- --port=9999      what follows `--` goes to JupyterLab

A copy counts as changed once the type or text of a cell differs from what was handed out; running
it is no change. A changed copy is never overwritten. An unchanged one follows the course; where it
holds outputs of your own runs, that version is kept beside it as NAME.bak-1.ipynb.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
COPIES = ROOT / "my_workbook"
START = "00_start_here.ipynb"
RECORD = ".handed_out.json"  # what was handed out: digests of cells and outputs, by name
SHOWN = (  # distributions whose versions a report of the set-up names
    "torch",
    "torchvision",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "matplotlib",
    "ipywidgets",
    "jupyterlab",
)
OPENCVS = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)
REPAIR = "in the clone: `uv sync --reinstall`, or `pip install -e '.[dev]' -c constraints.txt`"


class WorkbookError(Exception):
    """What the reader has to know, in one line."""


# ---- the reader's copies ------------------------------------------------------------------------


def course_notebooks(source=None):
    """The course's lessons and exercises, as {name: path}; the name is `exercises/ex01_….ipynb`."""
    source = source or NOTEBOOKS
    found = [*source.glob("*.ipynb"), *(source / "exercises").glob("*.ipynb")]
    if not found:
        raise WorkbookError(
            f"no notebooks in {source}: the workbook opens from a clone of the course, "
            "not from an installed wheel"
        )
    return {path.relative_to(source).as_posix(): path for path in sorted(found)}


def digests(path):
    """Two digests of a notebook: of its cells' types and texts, and of its outputs.

    Jupyter rewrites metadata and execution counts whenever it saves; neither digest sees them.
    A file that is no notebook (any more) gets digests of its bytes.
    """
    data = Path(path).read_bytes()
    try:
        cells = json.loads(data)["cells"]
        sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
        outputs = [[tidy(output) for output in cell.get("outputs", [])] for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        sources = outputs = data.hex()
    return digest(sources), digest(outputs)


def tidy(output):
    """An output without what differs from one save to the next; multi-line strings joined."""
    kept = {k: v for k, v in output.items() if k not in ("execution_count", "metadata")}
    for box in (kept, kept.get("data", {})):
        box.update({k: "".join(v) for k, v in box.items() if isinstance(v, list)})
    return kept


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def state(path, course, handed):
    """One of `new`, `same`, `update`, `yours` and `yours, newer`.

    `path` is the reader's copy, `course` the course's notebook, and `handed` the digests of what
    was handed out last (or None, when no record of it is left).
    """
    if not path.exists():
        return "new"
    mine, theirs = digests(path)[0], digests(course)[0]
    if mine == theirs:
        return "same"
    if handed is None:
        return "yours, newer"  # nobody knows which is older: leave it, and say so
    if mine == handed[0]:
        return "update"
    return "yours" if handed[0] == theirs else "yours, newer"


def read_record(copies):
    try:
        record = json.loads((copies / RECORD).read_text(encoding="utf-8"))
        return {name: tuple(pair) for name, pair in record.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_record(copies, record):
    copies.mkdir(exist_ok=True)
    part = copies / (RECORD + ".part")
    part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, copies / RECORD)


def hand_out(course, path):
    """Copies a notebook, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    shutil.copyfile(course, part)
    os.replace(part, path)


def keep_aside(path):
    """Renames the reader's notebook to the next free NAME.bak-<n>.ipynb; returns that path."""
    n = 1
    while (aside := path.with_name(f"{path.stem}.bak-{n}.ipynb")).exists():
        n += 1
    os.replace(path, aside)
    return aside


def update(source=None, copies=None):
    """Brings the copies up to date and returns the lines that say what was done and what was not.

    Never overwrites a copy whose cells the reader changed.
    """
    copies = copies or COPIES
    record, lines, new = read_record(copies), [], 0
    for name, course in course_notebooks(source).items():
        path, handed = copies / name, record.get(name)
        now = state(path, course, handed)
        if now == "update":
            kept = ""
            if digests(path)[1] != handed[1]:
                kept = f"; the one with your outputs is {keep_aside(path).name}"
            lines.append(f"{name}: brought up to date with the course{kept}")
        if now == "yours, newer":
            lines.append(
                f"{name}: you changed it, and the course has a newer version; yours is left. "
                f"To take the course's: uv run workbook --reset {Path(name).stem}"
            )
        if now in ("new", "update") or now == "same" and follows_outputs(path, course, handed):
            hand_out(course, path)
            record[name] = digests(course)
        elif now == "same" and (handed is None or handed[0] != digests(course)[0]):
            record[name] = digests(course)  # copied by hand, or edited into what the course has
        new += now == "new"
    write_record(copies, record)
    if new:
        lines.insert(0, f"{new} notebooks copied into {copies.name}/")
    return lines


def follows_outputs(path, course, handed):
    """Whether the course's outputs are newer and the reader's are still those handed out."""
    return handed is not None and digests(path) == handed and digests(course) != handed


def find(name, source=None):
    """The one notebook whose name begins with `name`, such as `01`, `ex01_rle` or a file name."""
    wanted = Path(name).name.removesuffix(".ipynb")
    every = list(course_notebooks(source))
    found = [n for n in every if Path(n).stem == wanted]
    found = found or [n for n in every if Path(n).stem.startswith(wanted)]
    if len(found) != 1:
        which = ", ".join(Path(n).stem for n in found or every)
        raise WorkbookError(f"{name!r} names {len(found) or 'no'} notebooks; write one of: {which}")
    return found[0]


def reset(name, source=None, copies=None):
    """Brings one notebook back as the course has it; the reader's own version stays beside it."""
    copies = copies or COPIES
    name = find(name, source)
    course, path, kept = course_notebooks(source)[name], copies / name, ""
    if path.exists() and digests(path) != digests(course):
        kept = f"; yours is kept as {keep_aside(path).relative_to(copies).as_posix()}"
    hand_out(course, path)
    write_record(copies, {**read_record(copies), name: digests(course)})
    return f"{name}: as the course has it{kept}"


def listing(source=None, copies=None):
    """A line for each notebook: its state and its name."""
    copies = copies or COPIES
    record = read_record(copies)
    words = {
        "new": "not copied yet",
        "same": "as in the course",
        "update": "the course has a newer version",
        "yours": "changed by you",
        "yours, newer": "changed by you, and newer in the course",
    }
    for name, course in course_notebooks(source).items():
        yield f"{name:<44} {words[state(copies / name, course, record.get(name))]}"


# ---- the set-up ---------------------------------------------------------------------------------


def check_setup(echo=print):
    """Prints what the course runs on, then one line for each thing that is wrong, with its cure.

    Returns those last lines as a list: empty when all is well. Needs no network. Used by lesson 00.
    """
    echo(f"✓ Python {sys.version.split()[0]}")
    for name in SHOWN:
        if found := installed(name):
            echo(f"✓ {name} {found}")
    echo(f"✓ device: {device_line()}")
    echo(f"✓ free disk space: {free_gigabytes():.0f} GB")
    problems = [
        *python_problems(),
        *opencv_problems(),
        *package_problems(),
        *torch_problems(),
        *data_problems(),
    ]
    for problem in problems:
        echo(f"✗ {problem}")
    return problems


def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def device_line():
    try:
        import torch

        from segutils.train import pick_device

        device = pick_device()
        more = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        return more or f"{device.type}, {torch.get_num_threads()} threads"
    except Exception as error:
        return f"unknown ({type(error).__name__}: {error})".split("\n")[0]


def free_gigabytes(folder=ROOT):
    return shutil.disk_usage(folder).free / 1e9


def python_problems():
    """A kernel that runs another Python than the one the workbook was started with."""
    started = os.environ.get("SEGUTILS_PREFIX")
    if started and Path(started).resolve() != Path(sys.prefix).resolve():
        yield (
            "this kernel runs another Python than the workbook was started with: in JupyterLab "
            "choose Kernel > Change Kernel > Python 3 (ipykernel)"
        )


def opencv_problems(names=None):
    """More than one OpenCV, or none: each overwrites the others' files."""
    if names is None:
        names = {(d.metadata["Name"] or "").lower().replace("_", "-") for d in distributions()}
    found = sorted(set(names) & set(OPENCVS))
    if len(found) > 1:
        yield (
            f"{len(found)} OpenCVs overwrite each other ({', '.join(found)}): remove all of them, "
            f"then {REPAIR}"
        )
    try:
        import cv2

        cv2.GaussianBlur  # noqa: B018 (an emptied cv2 imports, and has nothing in it)
    except (ImportError, AttributeError) as error:
        yield f"OpenCV does not import ({error}): {REPAIR}".replace("\n", " ")


def package_problems():
    """Packages that are missing, and an albumentations that behaves differently."""
    for name in SHOWN:
        if installed(name) is None:
            yield f"{name} is missing: {REPAIR}"
    found = installed("albumentations")
    if found and found != "2.0.8":
        yield f"albumentations {found} is not 2.0.8, the one the course is written for: {REPAIR}"


def torch_problems():
    """A torch that does not import, and a torchvision that was built for another torch."""
    try:
        import torch
    except Exception as error:
        yield f"torch does not import ({error}): {REPAIR}".replace("\n", " ")
        return
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 10):
        yield f"torch {torch.__version__} is older than 2.10: {REPAIR}"
    try:
        from torchvision.ops import nms

        nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except Exception as error:  # torchvision::nms is the first operator that a mismatch loses
        yield f"torchvision does not fit torch {torch.__version__} ({error}): {REPAIR}".replace(
            "\n", " "
        )


def data_problems():
    """The street scenes are not where the package looks, or the disk is nearly full."""
    try:
        from segutils.datasets import DATA
    except Exception as error:
        yield f"segutils.datasets does not import ({error}): {REPAIR}".replace("\n", " ")
        return
    if not (DATA / "street" / "plain" / "train.txt").exists():
        yield (
            f"no street scenes in {DATA / 'street'}: draw them, in the clone, with "
            "`uv run python -m segutils.street --out data/street`"
        )
    if free_gigabytes() < 1:
        yield f"{free_gigabytes():.1f} GB of disk space are free: lessons want 1 GB"


# ---- the command --------------------------------------------------------------------------------


def jupyter_command(extra=()):
    """The command that opens JupyterLab on the start lesson: loopback address, token kept."""
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={ROOT}",
        f"--FileContentsManager.preferred_dir={COPIES}",
        "--ServerApp.ip=127.0.0.1",
        f"--LabApp.default_url=/lab/tree/{COPIES.name}/{START}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return [*command, *extra]


def open_jupyter(extra=()):
    """Starts JupyterLab in place of this process; on Windows, as its child."""
    command = jupyter_command(extra)
    settings = [str(NOTEBOOKS / ".jupyter"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    env = {
        **os.environ,
        "SEGUTILS_PREFIX": sys.prefix,
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, settings)),  # no question about news
    }
    if os.name == "posix":
        sys.stdout.flush()
        os.execve(command[0], command, env)
    child = subprocess.Popen(command, env=env)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is JupyterLab's to handle
    return child.wait()


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    at = arguments.index("--") if "--" in arguments else len(arguments)
    arguments, extra = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(
        prog="workbook", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="the notebooks and their states")
    parser.add_argument("--reset", metavar="NAME", help="bring one back; yours stays beside it")
    parser.add_argument("--check", action="store_true", help="check the set-up")
    parser.add_argument("--no-open", action="store_true", help="copy only")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="replace")  # a terminal that has no check mark
    try:
        if options.check:
            return int(bool(check_setup()))
        if options.list:
            print("\n".join(listing()))
            return 0
        if options.reset:
            print(reset(options.reset))
            return 0
        for line in update():
            print(line)
    except (WorkbookError, OSError) as error:
        print(f"workbook: {error}", file=sys.stderr)
        return 1
    return 0 if options.no_open else open_jupyter(extra)


if __name__ == "__main__":
    sys.exit(main())
