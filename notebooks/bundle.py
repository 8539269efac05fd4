"""The students' bundle: what a student needs of the course, as one folder or zip.

`build.py --student-bundle OUT` calls `write(OUT, contents(...))`. In it are the lessons and the
exercises, the package and the data, at the paths that they have in the repository, so that the same
command opens it. Solutions, sources, tests and benchmarks stay out.
"""

import os
import re
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import nbformat

TOP = "segmentation-workbook"  # the one folder that a zip unpacks into
FILES = ("LICENSE", "LICENSE-docs", "constraints.txt", "environment.yml")
FOLDERS = ("segutils", "data", "notebooks/.jupyter")
MADE = {"__pycache__", "public", "runs"}  # by running, or downloaded
SETTINGS = (  # those parts of pyproject.toml that a set-up reads; the others are about tests
    "build-system",
    "project",
    "project.optional-dependencies",
    "project.scripts",
    "tool.uv",
    "tool.hatch.build.targets.wheel",
)
README = """\
# Image segmentation, step by step: the students' bundle

The lessons, the exercises, the package `segutils` and the data of the course. No GPU and no account
are needed, and after the first set-up no network.

## Start

With [uv](https://docs.astral.sh/uv/getting-started/installation/), in this folder:

```bash
uv run workbook            # sets everything up, then opens JupyterLab on the start lesson
uv run workbook --check    # is the set-up right? one line for each thing that is not, and its cure
```

Without uv, with Python 3.11 or newer:

```bash
python3 -m venv .venv && source .venv/bin/activate      # Windows: .venv\\Scripts\\activate
pip install -e . -c constraints.txt
workbook
```

On Linux the set-up downloads 3.3 GB, nearly all of it torch. It is needed once.

## Work, and hand in

`workbook` gives you copies of all notebooks in `my_workbook/`. Run them, change them, break them:
a copy that you changed is never overwritten. To hand in, save the notebook and send the file that
your instructor asks for, such as `my_workbook/exercises/{exercise}`.

A newer bundle can be unpacked over this one; your `my_workbook/` is no part of it.

Code is under the MIT licence (LICENSE), prose and pictures under CC BY 4.0 (LICENSE-docs).
"""


class BundleError(Exception):
    """Why there is no bundle; one line says what to do."""


def contents(root, notebooks):
    """{path in the bundle: bytes} of all that a student needs, `notebooks` among it."""
    paths = [*(root / name for name in FILES), *notebooks]
    for folder in FOLDERS:
        inside = (root / folder).rglob("*")
        paths += [path for path in inside if path.is_file() and kept(path, root / folder)]
    for path in paths:
        if not path.is_file():
            raise BundleError(f"{path.relative_to(root)} is missing, and the bundle needs it")
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths)}
    pyproject = (root / "pyproject.toml").read_text(encoding="utf-8")
    files["pyproject.toml"] = settings(pyproject).encode()
    files["environment.yml"] = files["environment.yml"].replace(b"-e .[dev]", b"-e .")
    exercise = next((path.name for path in notebooks if path.stem.startswith("ex")), "ex01.ipynb")
    files["README.md"] = README.format(exercise=exercise).encode()
    return {name: without_dead_links(name, files[name], files) for name in sorted(files)}


def kept(path, folder):
    """Whether a file belongs to the course, and is no trace of somebody's work."""
    parts = path.relative_to(folder).parts
    hidden = any(part.startswith(".") for part in parts)
    return not hidden and not MADE & set(parts) and path.suffix not in (".pyc", ".part")


def settings(pyproject):
    """pyproject.toml without the settings of tests and tools, and without their default install."""
    parts = re.split(r"(?m)^(?=\[)", pyproject)
    return "".join(part for part in parts if part[1:].split("]")[0] in SETTINGS)


# ---- links --------------------------------------------------------------------------------------


def without_dead_links(name, data, files):
    """A Markdown file or a notebook in which links that would lead nowhere are plain words."""
    if name.endswith(".md"):
        return unlinked(name, data.decode(), files).encode()
    if not name.endswith(".ipynb"):
        return data
    notebook = nbformat.reads(data.decode(), as_version=4)
    changed = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = unlinked(name, cell.source, files)
            changed |= text != cell.source
            cell.source = text
    return (nbformat.writes(notebook) + "\n").encode() if changed else data


def unlinked(name, text, files):
    """Markdown with only those links that lead somewhere in the bundle, or out to the web."""

    def word_or_link(match):
        return match[0] if leads(name, match["target"], files) else match["words"]

    link = re.compile(r"!?\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
    pieces = re.split(r"(```.*?```|`[^`]*`)", text, flags=re.DOTALL)  # code lies at odd places
    pieces[::2] = [link.sub(word_or_link, piece) for piece in pieces[::2]]
    return "".join(pieces)


def leads(name, target, files):
    """Whether a link of the file `name` leads somewhere in the bundle, or out to the web."""
    target = target.split("#")[0]
    if not target or re.match(r"[a-z]+:", target):
        return True
    place = os.path.normpath(PurePosixPath(name).parent / target).replace(os.sep, "/")
    return any(file == place or file.startswith(place.rstrip("/") + "/") for file in files)


# ---- writing ------------------------------------------------------------------------------------


def refuse(out):
    """Raises BundleError if there can be no bundle at this place: nothing is overwritten."""
    out = Path(out)
    if out.exists():
        raise BundleError(f"{out} exists already: delete it, or choose another name")
    if not out.absolute().parent.is_dir():
        raise BundleError(f"{out}: there is no folder {out.parent} to write into")
    if out.suffix.lower() in (".gz", ".tar", ".tgz", ".xz", ".7z", ".rar"):
        raise BundleError(f"{out}: a bundle is a folder, or a file that ends in .zip")


def write(out, files):
    """Writes a bundle, whole or not at all, and never over something that is there."""
    refuse(out)
    out = Path(out)
    written = write_zip if out.suffix.lower() == ".zip" else write_folder
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=out.absolute().parent) as folder:
        written(Path(folder) / out.name, files)
        os.replace(Path(folder) / out.name, out)


def write_folder(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_zip(path, files):
    """A zip in which nothing depends on the day or the machine: same files, same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(f"{TOP}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            packed = Path(name).suffix in (".jpg", ".png", ".safetensors")
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
