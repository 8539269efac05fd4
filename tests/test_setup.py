"""One list of dependencies: every way to set up the course asks for the same.

`python tests/test_setup.py` writes constraints.txt anew from pyproject.toml.
"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TESTED = PROJECT["tool"]["uv"]["constraint-dependencies"]


def constraints():
    """What constraints.txt has to hold."""
    head = "# Written from pyproject.toml by `python tests/test_setup.py`; do not edit.\n"
    return head + "".join(f"{line}\n" for line in TESTED)


def asked(extra="dev"):
    """All requirements of the project and its extra."""
    project = PROJECT["project"]
    return [
        Requirement(text)
        for text in [*project["dependencies"], *project["optional-dependencies"][extra]]
    ]


def test_constraints_are_those_of_the_project():
    assert (ROOT / "constraints.txt").read_text(encoding="utf-8") == constraints()


def test_every_dependency_has_a_tested_version_within_its_bounds():
    tested = {r.name: r for r in map(Requirement, TESTED)}
    for requirement in [*asked(), *asked("bench"), *asked("nbgrader")]:
        assert requirement.name in tested, f"{requirement.name}: add its tested version"
        (exact,) = tested[requirement.name].specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version), requirement


def test_dependencies_have_lower_bounds_only():
    """A hosted notebook's own torch has to stay; albumentations is the one exception."""
    for requirement in asked():
        if requirement.name != "albumentations":
            operators = {one.operator for one in requirement.specifier}
            assert operators == {">="}, requirement


def test_uv_pip_and_conda_share_the_list():
    assert PROJECT["dependency-groups"] == {"dev": ["segutils[dev]"]}


def test_conda_asks_for_python_pip_and_this_package_alone():
    asks = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert asks["channels"] == ["conda-forge"]
    conda, (with_pip,) = asks["dependencies"][:-1], asks["dependencies"][-1:]
    assert [re.split(r"[<>=]", one)[0] for one in conda] == ["python", "pip"]
    lowest = PROJECT["project"]["requires-python"]
    assert conda[0].startswith(f"python{lowest}")
    assert with_pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    assert "dev" in PROJECT["project"]["optional-dependencies"]


def test_one_opencv_only_is_installed():
    names = {canonicalize_name(d.metadata["Name"] or "") for d in distributions()}
    assert {n for n in names if n.startswith("opencv")} == {"opencv-python-headless"}


def test_one_opencv_only_is_asked_for():
    names = {r.name for r in asked()} | {Requirement(text).name for text in TESTED}
    assert {n for n in names if n.startswith("opencv")} == {"opencv-python-headless"}


@pytest.mark.parametrize("requirement", asked(), ids=lambda r: r.name)
def test_what_is_installed_is_what_the_project_asks_for(requirement):
    assert requirement.specifier.contains(version(requirement.name), prereleases=True)


def test_git_ignores_what_belongs_to_the_reader():
    names = ["my_workbook/00_start_here.ipynb", "uv.lock", ".venv/x", "runs/a.pt",
             "classroom/grades.csv"]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    ignored = subprocess.run(
        ["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ignored.stdout.split() == names


def test_the_course_map_names_every_lesson_and_only_planned_ones_besides():
    """README's map: a row for each lesson that exists; any other row says that it is planned."""
    rows = re.findall(
        r"^\| *(?:\[)?(\d\d_\w+)[^|]*\|([^|]*)\|([^|]*)\|",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    there = {path.stem for path in (ROOT / "notebooks" / "src").glob("[0-9][0-9]_*.py")}
    assert there <= {name for name, _, _ in rows}
    for name, _, minutes in rows:
        assert (name not in there) == ("planned" in minutes), name


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "INSTRUCTORS.md"])
def test_links_within_the_repository_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not re.match(r"[a-z]+:", link):
            assert (ROOT / link).exists(), link


def test_the_test_run_is_the_same_everywhere():
    """README, .ci/run and the workflow call the same command."""
    for name in ("README.md", ".ci/run", "CONTRIBUTING.md"):
        assert "uv run pytest" in (ROOT / name).read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert any(
        "uv run pytest" in s.get("run", "") or ".ci/run" in s.get("run", "") for s in job["steps"]
    )


def test_ruff_finds_nothing():
    """Over the package, the tests, the benchmarks and the notebooks' sources."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


if __name__ == "__main__":
    (ROOT / "constraints.txt").write_text(constraints(), encoding="utf-8")
    sys.exit(print("written: constraints.txt"))
