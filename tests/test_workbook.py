"""The reader's copies: nothing that they changed is ever overwritten or lost."""

import json
import os
import subprocess
import sys

import nbformat
import pytest

from segutils import workbook

LESSON, EXERCISE = "00_start_here.ipynb", "exercises/ex01_first.ipynb"


def save(path, *sources, output="", count=None):
    cells = []
    for source in sources:
        cell = nbformat.v4.new_code_cell(source, execution_count=count)
        if output:
            cell.outputs = [nbformat.v4.new_output("stream", text=output)]
        cells.append(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def sources(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


@pytest.fixture
def course(tmp_path):
    """A course of two notebooks, and copies of them that were just handed out."""
    folder = tmp_path / "notebooks"
    save(folder / LESSON, "a = 1", output="one")
    save(folder / EXERCISE, "...")
    save(folder / "solutions" / "ex01_first.ipynb", "solved")
    workbook.update(folder, tmp_path / "my_workbook")
    return folder


@pytest.fixture
def copies(course):
    return course.parent / "my_workbook"


def test_hands_out_lessons_and_exercises_but_no_solutions(course, copies):
    assert sorted(p.relative_to(copies).as_posix() for p in copies.rglob("*.ipynb")) == [
        LESSON,
        EXERCISE,
    ]
    assert workbook.update(course, copies) == []


def test_an_untouched_copy_follows_the_course(course, copies):
    save(course / LESSON, "a = 2")
    assert workbook.update(course, copies) == [f"{LESSON}: brought up to date with the course"]
    assert sources(copies / LESSON) == ["a = 2"]
    assert not list(copies.glob("*.bak*"))


def test_a_changed_copy_is_left_and_only_newer_ones_are_mentioned(course, copies):
    save(copies / LESSON, "a = 1", "my_own = 3")
    before = (copies / LESSON).read_bytes()
    assert workbook.update(course, copies) == []
    save(course / LESSON, "a = 2")
    for _ in range(2):  # it says so at each start
        (line,) = workbook.update(course, copies)
        assert "newer" in line
        assert "--reset 00_start_here" in line
    assert (copies / LESSON).read_bytes() == before


def test_a_changed_copy_that_was_saved_as_something_else_is_left(course, copies):
    (copies / LESSON).write_text("no notebook any more")
    save(course / LESSON, "a = 2")
    workbook.update(course, copies)
    assert (copies / LESSON).read_text() == "no notebook any more"


def test_running_a_copy_is_no_change_but_its_outputs_are_kept(course, copies):
    save(copies / LESSON, "a = 1", output="two", count=7)
    assert workbook.update(course, copies) == []
    assert "two" in (copies / LESSON).read_text()
    save(course / LESSON, "a = 2")
    (line,) = workbook.update(course, copies)
    assert "00_start_here.bak-1.ipynb" in line
    assert sources(copies / LESSON) == ["a = 2"]
    assert "two" in (copies / "00_start_here.bak-1.ipynb").read_text()


def test_new_outputs_of_the_course_reach_a_copy_that_was_not_run(course, copies):
    save(course / LESSON, "a = 1", output="refreshed")
    assert workbook.update(course, copies) == []
    assert "refreshed" in (copies / LESSON).read_text()


def test_new_outputs_of_the_course_do_not_replace_those_of_a_run(course, copies):
    save(copies / LESSON, "a = 1", output="mine")
    save(course / LESSON, "a = 1", output="refreshed")
    workbook.update(course, copies)
    assert "mine" in (copies / LESSON).read_text()


def test_what_jupyter_rewrites_on_saving_is_no_change(course, copies):
    """Metadata, the counts of cells and results, and how lines of a text are split."""
    notebook = nbformat.read(course / LESSON, as_version=4)
    result = nbformat.v4.new_output("execute_result", {"text/plain": "1\n2"}, execution_count=1)
    notebook.cells[0].outputs = [result]
    nbformat.write(notebook, course / LESSON)
    workbook.update(course, copies)
    notebook.metadata["language_info"] = {"name": "python", "version": "3.12.1"}
    notebook.cells[0].metadata["scrolled"] = True
    notebook.cells[0].execution_count = 5
    result.execution_count = 5
    result.metadata["needs_background"] = "light"
    (copies / LESSON).write_text(json.dumps(notebook))  # "1\n2" as one string, not as lines
    save(course / LESSON, "a = 2")
    assert workbook.update(course, copies) == [f"{LESSON}: brought up to date with the course"]


def test_a_deleted_copy_comes_back(course, copies):
    (copies / LESSON).unlink()
    assert workbook.update(course, copies) == ["1 notebooks copied into my_workbook/"]
    assert sources(copies / LESSON) == ["a = 1"]


@pytest.mark.parametrize("record", [None, "", "[1, 2]", "{"])
def test_without_its_record_nothing_of_the_reader_is_lost(course, copies, record):
    save(copies / LESSON, "mine")
    (copies / workbook.RECORD).unlink()
    if record is not None:
        (copies / workbook.RECORD).write_text(record)
    (line,) = workbook.update(course, copies)
    assert "yours is left" in line
    assert sources(copies / LESSON) == ["mine"]


def test_reset_keeps_the_readers_versions_beside_it(course, copies):
    for n in (1, 2):
        save(copies / EXERCISE, f"mine {n}")
        line = workbook.reset("ex01", course, copies)
        assert f"exercises/ex01_first.bak-{n}.ipynb" in line
        assert sources(copies / EXERCISE) == ["..."]
        assert sources(copies / f"exercises/ex01_first.bak-{n}.ipynb") == [f"mine {n}"]
    assert workbook.update(course, copies) == []
    assert "kept" not in workbook.reset("ex01", course, copies)


@pytest.mark.parametrize("name", ["00", "00_start_here", LESSON, f"my_workbook/{LESSON}"])
def test_find_accepts_what_a_reader_writes(course, name):
    assert workbook.find(name, course) == LESSON


def test_find_names_the_choices(course):
    with pytest.raises(workbook.WorkbookError, match="00_start_here, ex01_first"):
        workbook.find("07", course)


def test_list_tells_the_state_of_each(course, copies):
    save(copies / LESSON, "mine")
    lines = list(workbook.listing(course, copies))
    assert "changed by you" in lines[0]
    assert "as in the course" in lines[1]


def test_an_installed_wheel_gets_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workbook, "NOTEBOOKS", tmp_path / "nothing")
    monkeypatch.setattr(workbook, "COPIES", tmp_path / "copies")
    assert workbook.main(["--no-open"]) == 1
    error = capsys.readouterr().err
    assert "from a clone of the course" in error
    assert error.count("\n") == 1


def test_jupyter_is_bound_to_the_loopback_address_with_its_token():
    command = workbook.jupyter_command(["--port=9999"])
    assert "--ServerApp.ip=127.0.0.1" in command
    assert not [part for part in command if "token" in part.lower()]
    assert command[-1] == "--port=9999"
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    assert ("--allow-root" in command) == root


def test_what_follows_two_dashes_goes_to_jupyter(course, monkeypatch):
    monkeypatch.setattr(workbook, "update", list)
    monkeypatch.setattr(workbook, "open_jupyter", lambda extra: extra)
    assert workbook.main(["--", "--port=9999", "--no-browser"]) == ["--port=9999", "--no-browser"]


# ---- the check of the set-up ---------------------------------------------------------------------


def test_this_set_up_has_no_package_problem():
    problems = [
        *workbook.python_problems(),
        *workbook.opencv_problems(),
        *workbook.package_problems(),
        *workbook.torch_problems(),
    ]
    assert problems == []


def test_problems_are_printed_one_line_each_with_a_cure(monkeypatch, capsys):
    monkeypatch.setattr(
        workbook, "opencv_problems", lambda: ["2 OpenCVs overwrite each other: remove both"]
    )
    problems = workbook.check_setup()
    assert "2 OpenCVs overwrite each other: remove both" in problems
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("✗")] == [f"✗ {p}" for p in problems]
    assert all(line.startswith(("✓", "✗")) for line in lines)


def test_two_opencvs_are_named():
    (line,) = workbook.opencv_problems({"opencv-python", "opencv-python-headless", "numpy"})
    assert "opencv-python, opencv-python-headless" in line
    assert "uv sync" in line


def test_another_albumentations_is_named(monkeypatch):
    real = workbook.installed
    monkeypatch.setattr(
        workbook, "installed", lambda name: "1.4.0" if name == "albumentations" else real(name)
    )
    (line,) = workbook.package_problems()
    assert "albumentations 1.4.0 is not 2.0.8" in line


def test_a_missing_package_is_named(monkeypatch):
    real = workbook.installed
    monkeypatch.setattr(
        workbook, "installed", lambda name: None if name == "ipywidgets" else real(name)
    )
    (line,) = workbook.package_problems()
    assert line.startswith("ipywidgets is missing")


def test_a_torchvision_of_another_torch_is_named(monkeypatch):
    import torchvision.ops

    def lost(*_):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", lost)
    (line,) = workbook.torch_problems()
    assert "torchvision does not fit torch" in line
    assert "torchvision::nms" in line


def test_missing_data_are_named_with_the_command_that_draws_them(monkeypatch, tmp_path):
    datasets = pytest.importorskip("segutils.datasets")
    monkeypatch.setattr(datasets, "DATA", tmp_path)
    (line,) = workbook.data_problems()
    assert "python -m segutils.street" in line


def test_a_full_disk_is_named(monkeypatch):
    pytest.importorskip("segutils.datasets")
    monkeypatch.setattr(workbook, "free_gigabytes", lambda: 0.2)
    assert any("0.2 GB of disk space" in line for line in workbook.data_problems())


def test_a_kernel_of_another_python_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGUTILS_PREFIX", str(tmp_path))
    (line,) = workbook.python_problems()
    assert "Change Kernel" in line
    monkeypatch.setenv("SEGUTILS_PREFIX", sys.prefix)
    assert list(workbook.python_problems()) == []


def test_the_commands_of_the_package_are_listed_without_importing_them():
    code = "import sys, segutils.__main__ as m; m.main([]); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "workbook" in out.stdout
    assert out.stdout.endswith("False\n")


def test_the_record_is_json_that_a_reader_can_look_at(copies):
    assert set(json.loads((copies / workbook.RECORD).read_text())) == {LESSON, EXERCISE}
