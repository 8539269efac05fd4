"""The arrows of CONTRIBUTING.md's table: which module of the package may import which."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "segutils"

# Modules of the package that each module may import.
OWN = {
    "__init__": set(),
    "masks": set(),
    "street": {"masks"},
    "augment": {"masks"},
    "datasets": {"masks", "street", "augment"},
    "doctor": {"masks", "datasets"},
    "unet": set(),
    "losses": set(),
    "metrics": {"masks"},
    "checkpoint": set(),
    "processes": set(),
    "progress": set(),
    "train": {"metrics", "predict", "checkpoint", "processes", "progress"},
    "zoo": {"unet", "checkpoint"},
    "predict": {"masks"},
    "show": {"masks"},
    "explorer": {"show", "predict", "metrics"},
}
EVERYTHING = {*OWN} - {"__init__"}
OWN["exercises"] = EVERYTHING - {"explorer"}
OWN["grading"] = {"exercises", "show", "street", "unet"}
OWN["__main__"] = EVERYTHING | {"exercises", "grading", "workbook"}
OWN["workbook"] = OWN["train_command"] = EVERYTHING | {"exercises", "workbook"}

# Libraries, where the table names them (beside the standard library).
LIBRARIES = {
    "__init__": set(),
    "masks": {"numpy", "PIL", "cv2", "pycocotools"},
    "street": {"numpy", "cv2", "PIL", "tqdm"},  # the last two write the files, with a bar
    "unet": {"torch"},
    "losses": {"torch"},
}


def modules():
    """(name, path) of each module; a file of a subpackage counts as the subpackage."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


def imports(code):
    """The full names that a module imports, at its top or within a function."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ("segutils." if node.level else "") + (node.module or "")
            yield from (f"{base}.{alias.name}".replace("..", ".") for alias in node.names)


def wrong_imports(name, code):
    """What a module imports against the table."""
    for full in imports(code):
        top, _, rest = full.partition(".")
        part = rest.split(".")[0]
        if full.endswith(".*"):
            yield f"{full}: a star import"
        elif top == "notebooks" or part == "notebooks":
            yield f"{full}: the package never imports notebooks"
        elif top == "segutils":
            known = part in OWN and part != "__init__"
            if known and part != name and part not in OWN[name]:
                yield f"segutils.{part} is not {name}'s to import"
        elif (
            name in LIBRARIES and top not in LIBRARIES[name] and top not in sys.stdlib_module_names
        ):
            yield f"{top} is not {name}'s to import"


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda v: getattr(v, "stem", v))
def test_arrows(name, path):
    assert name in OWN, f"segutils/{path.name} is not in the table: add it to CONTRIBUTING.md too"
    assert list(wrong_imports(name, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("masks", "import torch"),
        ("losses", "from segutils.masks import IGNORE"),
        ("losses", "from segutils import masks"),
        ("unet", "from .masks import IGNORE"),
        ("metrics", "def f():\n    import segutils.train"),
        ("show", "from segutils.masks import *"),
        ("show", "import notebooks.build"),
        ("exercises", "from segutils.explorer import Explorer"),
    ],
)
def test_a_wrong_arrow_is_seen(name, code):
    assert list(wrong_imports(name, code))


def test_a_right_arrow_is_not():
    code = "import os\nimport numpy as np\nfrom segutils.masks import IGNORE\nimport cv2"
    assert list(wrong_imports("street", code)) == []


def test_there_is_no_drawer_for_odds_and_ends():
    names = {path.stem for _, path in modules()}
    assert not names & {"utils", "helpers", "misc", "common"}
