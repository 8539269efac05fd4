"""The students' bundle: it opens as the course does, and holds no solution and no dead link."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

from segutils import workbook

ROOT = Path(__file__).resolve().parents[1]
TRIVIAL = 16  # characters: a shorter line of code gives nothing away


@pytest.fixture(scope="module")
def handed(build, tmp_path_factory):
    """The bundle of the course as it is now, as a folder."""
    out = tmp_path_factory.mktemp("handed") / "handout"
    assert build.main(["--student-bundle", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def names(handed):
    return sorted(p.relative_to(handed).as_posix() for p in handed.rglob("*") if p.is_file())


def texts(handed):
    """(name, text) of each file that is text."""
    for path in handed.rglob("*"):
        if path.suffix in (".py", ".js", ".md", ".ipynb", ".toml", ".txt", ".yml", ".json"):
            yield path.relative_to(handed).as_posix(), path.read_text(encoding="utf-8")


# ---- what is in it ------------------------------------------------------------------------------


def test_the_workbook_finds_in_it_what_it_hands_out(handed):
    course = workbook.course_notebooks(handed / "notebooks")
    assert set(course) == set(workbook.course_notebooks())
    assert all((handed / "notebooks" / name).is_file() for name in course)
    assert workbook.START in course
    assert (handed / "notebooks" / ".jupyter").is_dir()


def test_it_holds_the_package_and_the_data_to_the_byte(handed):
    """Compared with what git tracks, which nobody listed by hand."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    command = ["git", "ls-files", "segutils", "data", "LICENSE", "LICENSE-docs", "constraints.txt"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.split():
        if not name.endswith(".md"):
            assert (handed / name).read_bytes() == (ROOT / name).read_bytes(), name


def test_it_holds_nothing_else(names):
    allowed = re.compile(
        r"(segutils/[\w/]+\.(py|js)|data/.+|notebooks/\d\d_\w+\.ipynb|notebooks/\.jupyter/.+"
        r"|notebooks/exercises/(ex\d\d_\w+|capstone)\.ipynb"
        r"|(LICENSE|LICENSE-docs|README\.md|constraints\.txt|environment\.yml|pyproject\.toml))"
    )
    assert [name for name in names if not allowed.fullmatch(name)] == []
    assert not [name for name in names if re.search(r"__pycache__|/public/|/runs/", name)]


def test_traces_of_work_stay_out(build, tmp_path):
    """Caches, downloads and hidden files that lie about in a clone."""
    for name in ("segutils/a.py", "segutils/__pycache__/a.pyc", "data/public/b.png", "data/c.png",
                 "data/.hidden", "data/c.png.part", "notebooks/.jupyter/d.json",
                 "notebooks/.jupyter/.ipynb_checkpoints/d.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("LICENSE", "LICENSE-docs", "constraints.txt", "environment.yml", "pyproject.toml"):
        (tmp_path / name).write_text("")
    found = set(build.bundle.contents(tmp_path, []))
    assert {name for name in found if "/" in name} == {
        "segutils/a.py", "data/c.png", "notebooks/.jupyter/d.json"
    }


def test_a_missing_file_is_named(build, tmp_path):
    with pytest.raises(build.bundle.BundleError, match="LICENSE is missing"):
        build.bundle.contents(tmp_path, [])


# ---- no solutions -------------------------------------------------------------------------------


def code(line):
    """A line of code without its comment."""
    return line.split("  #")[0].strip()


def solutions(build):
    """{exercise's source and number of the block: its telling lines}; a comment tells, too."""
    shown, blocks = set(), {}
    for target in build.targets():
        for number, cell in enumerate(build.read_source(target.source)):
            if target.edition == "exercise":
                outside, inside = build.split_solution(cell.source)
                shown |= set(map(code, outside.split("\n")))
                if inside:
                    blocks[f"{target.source.stem}, cell {number}"] = set(map(code, inside))
            elif target.edition == "lesson":
                shown |= set(map(code, cell.source.split("\n")))
    found = {k: {x for x in lines if len(x) >= TRIVIAL} - shown for k, lines in blocks.items()}
    return {where: lines for where, lines in found.items() if lines}


def test_no_line_of_a_solution_is_in_it(build, handed):
    """In no file but the checks, which know the right answer by nature (see the next test)."""
    blocks = solutions(build)
    assert len(blocks) > 25
    for name, text in texts(handed):
        if name.startswith("segutils/"):
            continue
        if name.endswith(".ipynb"):
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells) + "\n" + text
        for where, lines in blocks.items():
            for line in lines:
                assert line not in text, f"{name} shows a line of {where}: {line}"


def test_the_package_shows_no_solution_as_a_whole(build, handed):
    """A check computes what is right, so single lines agree; never half of those of a solution."""
    files = {n: set(map(code, t.split("\n"))) for n, t in texts(handed) if n.endswith(".py")}
    assert len(files) > 20
    for where, lines in solutions(build).items():
        for name, there in files.items():
            shared = lines & there
            assert len(shared) < max(2, len(lines) / 2), f"{name}: most of {where}: {shared}"


def test_a_notebook_that_shows_a_solution_is_not_handed_out(build, tmp_path, capsys):
    course = tmp_path / "notebooks"
    for place in ("src", "exercises"):
        (course / place).mkdir(parents=True)
    source = "# %%\nanswer = ...\n### BEGIN SOLUTION\nanswer = 6 * 7\n### END SOLUTION\n"
    (course / "src" / "ex00_try.py").write_text(source)
    assert build.main(["--student-bundle", str(tmp_path / "out")], course) == 1
    assert "exercises/ex00_try: not built yet" in capsys.readouterr().err
    (target, _) = build.targets(course)
    notebook = build.make(target)
    notebook.cells[0].source += "\nanswer = 6 * 7"
    notebook.cells[0].execution_count = 1
    nbformat.write(notebook, target.path)
    assert build.main(["--student-bundle", str(tmp_path / "out")], course) == 1
    assert "exercises/ex00_try: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ---- links --------------------------------------------------------------------------------------


def test_every_link_leads_somewhere(handed, names):
    """Read anew from the files, from the notebooks' place and from that of the reader's copies."""
    copied = handed / "my_workbook"
    count = 0
    for name, text in texts(handed):
        if name.endswith(".ipynb"):
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        elif not name.endswith(".md"):
            continue
        text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
        assert "<a " not in text and "<img " not in text, name
        for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", text):
            link = link.split("#")[0]
            if not link or re.match(r"[a-z]+:", link):
                continue
            count += 1
            assert (handed / name).parent.joinpath(link).exists(), (name, link)
            if name.endswith(".ipynb"):
                place = (copied / Path(name).relative_to("notebooks")).parent / link
                inside = Path(os.path.normpath(place)).relative_to(handed).as_posix()
                inside = inside.replace("my_workbook/", "notebooks/", 1)
                assert (handed / inside).exists(), (name, link, "from my_workbook")
    assert count >= 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](exercises/ex01.ipynb)", "[a](exercises/ex01.ipynb)"),
        ("[a](../data/README.md#counts)", "[a](../data/README.md#counts)"),
        ("[a](#top) [b](https://example.org/x)", "[a](#top) [b](https://example.org/x)"),
        ("see [the solution](../notebooks/solutions/ex01.ipynb).", "see the solution."),
        ('[a](../CONTRIBUTING.md "more") ![a map](../docs/map.png)', "a a map"),
        ("`[a](../x.md)` and [b](../x.md)", "`[a](../x.md)` and b"),
        ("```\n[a](../x.md)\n```\n[b](../x.md)", "```\n[a](../x.md)\n```\nb"),
    ],
)
def test_a_dead_link_becomes_plain_words(build, text, expected):
    files = {"data/README.md": b"", "notebooks/exercises/ex01.ipynb": b""}
    assert build.bundle.unlinked("notebooks/01_try.ipynb", text, files) == expected


def test_a_notebook_loses_its_dead_links_and_nothing_else(build):
    cells = [nbformat.v4.new_markdown_cell("[a](../x.md)"), nbformat.v4.new_code_cell("f[a](x.md)")]
    data = nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode()
    after = build.bundle.without_dead_links("notebooks/01.ipynb", data, {})
    assert [c.source for c in nbformat.reads(after, as_version=4).cells] == ["a", "f[a](x.md)"]
    kept = build.bundle.without_dead_links("notebooks/01.ipynb", data, {"x.md": b""})
    assert kept == data


# ---- its set-up ---------------------------------------------------------------------------------


def test_it_asks_for_what_the_course_asks_for(handed):
    """The same dependencies and tested versions, and nothing of tests by default."""
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    theirs = tomllib.loads((handed / "pyproject.toml").read_text(encoding="utf-8"))
    assert theirs["project"] == ours["project"] and theirs["tool"]["uv"] == ours["tool"]["uv"]
    assert theirs["build-system"] == ours["build-system"]
    assert theirs["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["segutils"]}
    assert "dependency-groups" not in theirs and "pytest" not in theirs["tool"]
    for name in (theirs["project"]["readme"], *theirs["project"]["license-files"]):
        assert (handed / name).is_file()
    assert ".[dev]" not in (handed / "environment.yml").read_text(encoding="utf-8")


def test_its_readme_opens_it_as_the_course_is_opened(handed):
    ours, theirs = ((p / "README.md").read_text(encoding="utf-8") for p in (ROOT, handed))
    first = [re.search(r"```bash\n(\S+ \S+ \S+)", text)[1] for text in (ours, theirs)]
    assert first == ["uv run workbook"] * 2
    example = re.search(r"my_workbook/(exercises/\w+\.ipynb)", theirs)[1]
    assert example in workbook.course_notebooks()


def test_its_notebooks_import_only_what_its_set_up_installs(handed):
    project = tomllib.loads((handed / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {Requirement(text).name.lower() for text in project["dependencies"]}
    asked |= {"ipython"}  # every kernel has it
    brings = packages_distributions()
    for name in workbook.course_notebooks(handed / "notebooks").values():
        for cell in nbformat.read(name, as_version=4).cells:
            if cell.cell_type != "code":
                continue
            for node in ast.walk(ast.parse(re.sub(r"(?m)^[%!].*", "", cell.source))):
                modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module] if isinstance(node, ast.ImportFrom) else []
                for module in {m.split(".")[0] for m in modules} - sys.stdlib_module_names:
                    found = {d.lower() for d in brings.get(module, ())}
                    assert module == "segutils" or found & asked, (name.name, module)


# ---- writing it ---------------------------------------------------------------------------------


def test_a_zip_holds_the_same_and_is_the_same_twice(build, handed, names, tmp_path):
    data = []
    for name in ("a.zip", "b.ZIP"):
        assert build.main(["--student-bundle", str(tmp_path / name)]) == 0
        data.append((tmp_path / name).read_bytes())
    assert data[0] == data[1]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        top = build.bundle.TOP
        assert archive.namelist() == [f"{top}/{name}" for name in names]
        assert archive.testzip() is None
        for name in names:
            assert archive.read(f"{top}/{name}") == (handed / name).read_bytes()
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


def test_some_lessons_alone_can_be_handed_out(build, tmp_path, capsys):
    out = tmp_path / "first.zip"
    assert build.main(["--student-bundle", str(out), "00", "01"]) == 0
    with zipfile.ZipFile(out) as archive:
        found = {Path(name).name for name in archive.namelist() if name.endswith(".ipynb")}
        lesson = archive.read(f"{build.bundle.TOP}/notebooks/01_mask_basics.ipynb").decode()
    assert found == {"00_start_here.ipynb", "01_mask_basics.ipynb"}
    assert "(exercises/ex01" not in lesson  # a link to what was not handed out
    assert capsys.readouterr().out.startswith(f"{out}: 2 notebooks, ")


def test_nothing_is_overwritten(build, handed, tmp_path, capsys):
    (tmp_path / "mine.zip").write_text("mine")
    (tmp_path / "folder").mkdir()
    before = sorted(p.name for p in handed.iterdir())
    for out, says in (
        (tmp_path / "mine.zip", "exists already: delete it, or choose another name"),
        (tmp_path / "folder", "exists already"),
        (handed, "exists already"),  # an older bundle may hold somebody's work
        (tmp_path / "nowhere" / "out.zip", "there is no folder"),
        (tmp_path / "out.tar.gz", "a folder, or a file that ends in .zip"),
    ):
        assert build.main(["--student-bundle", str(out), "00"]) == 1
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1, error
    assert (tmp_path / "mine.zip").read_text() == "mine"
    assert sorted(p.name for p in handed.iterdir()) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "mine.zip"]


def test_an_interrupted_write_leaves_nothing(build, tmp_path, monkeypatch):
    def stop(path, files):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(build.bundle, "write_zip", stop)
    with pytest.raises(KeyboardInterrupt):
        build.bundle.write(tmp_path / "out.zip", {})
    assert list(tmp_path.iterdir()) == []


# ---- a set-up from nothing ----------------------------------------------------------------------


def unpacked(archive, place):
    with zipfile.ZipFile(archive) as file:
        file.extractall(place)
        (top,) = {name.split("/")[0] for name in file.namelist()}
    return place / top


@pytest.mark.slow
def test_it_sets_up_an_empty_environment_and_runs(build, tmp_path):
    """From the zip: the student's two commands, then one lesson and one exercise under nbval.

    Once set up it needs no network, and neither does a second bundle on the same machine.
    """
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not on the PATH")
    assert build.main(["--student-bundle", str(tmp_path / "handout.zip")]) == 0
    first, second = (unpacked(tmp_path / "handout.zip", tmp_path / place) for place in "ab")
    hidden = ("VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT", "MPLBACKEND", "SEGUTILS_DATA")
    env = {k: v for k, v in os.environ.items() if k not in hidden}

    def ask(folder, *command, **more):
        done = subprocess.run(
            [uv, "run", *command], cwd=folder, env={**env, **more}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    assert "notebooks copied into my_workbook/" in ask(first, "workbook", "--no-open")
    where = ask(first, "python", "-c", "import segutils; print(segutils.__file__)").strip()
    assert Path(where).is_relative_to(first)
    assert "✗" not in ask(first, "workbook", "--check", UV_OFFLINE="1")
    assert "as in the course" in ask(first, "workbook", "--list", UV_OFFLINE="1")
    assert "copied" in ask(second, "workbook", "--no-open", UV_OFFLINE="1")
    notebooks = ["my_workbook/01_mask_basics.ipynb",
                 "my_workbook/exercises/ex01_mask_basics.ipynb"]
    nbval = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=600"]
    nbval.append(f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval.cfg'}")
    said = ask(first, "--extra", "dev", "pytest", *nbval, *notebooks)
    assert re.search(r"\d+ passed", said) and "failed" not in said
