"""notebooks/build.py on tiny sources, and its `--check` on the course itself."""

import nbformat
import pytest

LESSON = '''\
# %% [markdown]
# # A lesson
# It prints.

# %%
import matplotlib.pyplot as plt

print([1, 2, 3])

# %% tags=["defines"]
def double(x):
    """Twice x."""
    return 2 * x


# %%
plt.figure(figsize=(1, 1))
plt.plot([1, 2])
plt.show()
'''

EXERCISE = '''\
# %% [markdown]
# # An exercise

# %%
def dice(a, b):
    """Dice of two masks, (H, W) bool, as a float."""
    # a: (H, W)
    ### BEGIN SOLUTION
    both = (a & b).sum()
    return 2 * both / (a.sum() + b.sum())
    ### END SOLUTION


# %%
import numpy as np

mask = np.eye(3, dtype=bool)
answer = dice(mask, mask)
print("not attempted yet" if answer is None else f"dice {answer:.1f}")

# %% [markdown] tags=["student-only"]
# Your turn.

# %% [markdown] tags=["solution-only"]
# Both halves are counted.
'''


def sources(folder, **texts):
    (folder / "src").mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / "src" / f"{name.lstrip('_')}.py").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def built_once(build, tmp_path_factory):
    """A lesson and an exercise, built; tests that change them take a copy."""
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    folder.mkdir()
    sources(folder, _00_try=LESSON, ex00_try=EXERCISE)
    assert build.main([], folder) == 0
    return folder


@pytest.fixture
def built(built_once, tmp_path):
    import shutil

    return shutil.copytree(built_once, tmp_path / "notebooks")


def read(path):
    return nbformat.read(path, as_version=4)


def faults(build, folder):
    return build.check(folder)[0]


def spoil(folder, change, name="00_try"):
    """Changes a stored notebook with a function of it."""
    path = folder / f"{name}.ipynb"
    notebook = read(path)
    change(notebook)
    nbformat.write(notebook, path)


def test_what_was_just_built_is_fresh(build, built_once):
    wrong, compared, storing = build.check(built_once)
    assert wrong == []
    assert (compared, storing) == (3, 3)  # the figure's line is not text


def test_the_notebook_stores_what_the_cells_show(built_once):
    cells = read(built_once / "00_try.ipynb").cells
    assert cells[1].outputs[0].text == "[1, 2, 3]\n"
    assert "image/png" in cells[3].outputs[0].data
    assert cells[2].metadata == {"tags": ["defines"]}
    assert [c.execution_count for c in cells if c.cell_type == "code"] == [1, 2, 3]


def test_another_python_patch_makes_no_difference(built_once):
    assert "version" not in read(built_once / "00_try.ipynb").metadata.language_info


def test_student_edition_keeps_signature_docstring_and_comments(built_once):
    student = read(built_once / "exercises" / "ex00_try.ipynb").cells
    assert student[1].source == (
        "def dice(a, b):\n"
        '    """Dice of two masks, (H, W) bool, as a float."""\n'
        "    # a: (H, W)\n"
        "    ...  # your code here"
    )
    assert student[2].outputs[0].text == "not attempted yet\n"
    assert [c.source for c in student if c.cell_type == "markdown"][1:] == ["Your turn."]


def test_solved_edition_is_solved(built_once):
    solved = read(built_once / "solutions" / "ex00_try.ipynb").cells
    assert solved[2].outputs[0].text == "dice 1.0\n"
    assert solved[-1].source == "Both halves are counted."
    assert not any("Your turn" in c.source for c in solved)


def test_no_line_of_a_solution_reaches_the_student(build, built):
    text = (built / "exercises" / "ex00_try.ipynb").read_text()
    for line in ("both = (a & b).sum()", "Both halves"):
        assert line not in text

    def leak(notebook):
        notebook.cells[2].outputs[0].text += "both = (a & b).sum()\n"

    spoil(built, leak, "exercises/ex00_try")
    (line,) = faults(build, built)
    assert "shows a line of the solution: 'both = (a & b).sum()'" in line


@pytest.mark.parametrize(
    "code",
    ["### BEGIN SOLUTION\nx = 1", "x = 1\n### END SOLUTION", "### BEGIN SOLUTION\n" * 2],
)
def test_solution_markers_need_their_partner(build, code):
    with pytest.raises(build.BuildError, match="without its partner"):
        build.split_solution(code)


def test_a_lesson_holds_no_solutions(build, tmp_path, capsys):
    sources(tmp_path, _00_try="# %%\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n")
    assert build.main([], tmp_path) == 1
    assert "belong in an exercise" in capsys.readouterr().err


def test_ids_survive_an_edit(build, built):
    before = [c.id for c in read(built / "00_try.ipynb").cells]
    edited = LESSON.replace("print([1, 2, 3])", "print([1, 2, 4])")
    edited = edited.replace('# %% tags=["defines"]', '# %%\nnew = 1\n\n# %% tags=["defines"]')
    sources(built, _00_try=edited)
    assert build.main(["00"], built) == 0
    after = [c.id for c in read(built / "00_try.ipynb").cells]
    assert after[:2] + after[3:] == before
    assert after[2] not in before


def test_the_same_source_gets_the_same_ids_in_another_folder(build, built_once, tmp_path):
    sources(tmp_path, ex00_try=EXERCISE)
    target = build.targets(tmp_path)[0]
    assert [c.id for c in build.make(target).cells] == [
        c.id for c in read(built_once / "exercises" / "ex00_try.ipynb").cells
    ]


def test_equal_cells_get_different_ids(build, tmp_path):
    sources(tmp_path, _00_try="# %%\nx = 1\n\n# %%\nx = 1\n")
    a, b = build.make(build.targets(tmp_path)[0]).cells
    assert a.id != b.id


def test_a_rebuild_changes_no_byte_and_reports_nothing(build, built, capsys):
    before = {p: p.read_bytes() for p in built.rglob("*.ipynb")}
    assert build.main(["00"], built) == 0
    assert {p: p.read_bytes() for p in built.rglob("*.ipynb")} == before
    assert "outputs changed in 0 cells" in capsys.readouterr().out


def test_a_rebuild_says_which_outputs_changed(build, built, capsys):
    def older(notebook):
        notebook.cells[1].outputs[0].text = "[1, 2]\n"

    spoil(built, older)
    assert build.main(["00"], built) == 0
    out = capsys.readouterr().out
    assert "00_try, cell 1 (import matplotlib.pyplot as plt): '[1, 2]' -> '[1, 2, 3]'" in out
    assert "outputs changed in 1 cells" in out


def test_a_failing_cell_is_named_and_nothing_is_written(build, built, capsys):
    before = (built / "00_try.ipynb").read_bytes()
    sources(built, _00_try=LESSON + "\n# %%\nundefined\n")
    assert build.main(["00"], built) == 1
    out = capsys.readouterr().out
    assert "00_try, cell 4 (undefined): NameError" in out
    assert (built / "00_try.ipynb").read_bytes() == before


def test_an_expected_error_is_stored_with_short_paths(build, tmp_path):
    code = '# %% tags=["raises-exception"]\nimport numpy as np\n\nnp.linalg.inv(np.zeros((2, 2)))\n'
    sources(tmp_path, _00_try=code)
    assert build.main([], tmp_path) == 0
    assert faults(build, tmp_path) == []
    (cell,) = read(tmp_path / "00_try.ipynb").cells
    assert cell.outputs[0].ename == "LinAlgError"
    assert "numpy" in "".join(cell.outputs[0].traceback)


def test_widget_state_is_not_stored(build, tmp_path):
    code = "# %%\nfrom tqdm.auto import tqdm\n\nfor _ in tqdm(range(2)):\n    pass\n"
    sources(tmp_path, _00_try=code)
    assert build.main([], tmp_path) == 0
    assert "widget" not in (tmp_path / "00_try.ipynb").read_text()
    assert "0%|" in (tmp_path / "00_try.ipynb").read_text()  # nbval compares it
    sources(tmp_path, _00_try=code.replace("# %%", '# %% tags=["nbval-ignore-output"]'))
    assert build.main([], tmp_path) == 0
    assert "0%|" not in (tmp_path / "00_try.ipynb").read_text()


def test_prose_keeps_the_outputs(build, built, capsys):
    sources(built, _00_try=LESSON.replace("It prints.", "It prints a list."))
    assert "is stale" in faults(build, built)[0]
    assert build.main(["--prose", "00"], built) == 0
    assert faults(build, built) == []
    assert read(built / "00_try.ipynb").cells[1].outputs
    sources(built, _00_try=LESSON.replace("[1, 2, 3]", "[1]"))
    assert build.main(["--prose", "00"], built) == 1
    assert "without --prose" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("[1, 2, 3]", "[1, 2]", "stale (text)"),
        ('# %% tags=["defines"]', "# %%", "stale (tags)"),
        ("# %% [markdown]", "# %%", "stale (type)"),
        ("# %%\nplt.figure", "# %%\nx = 1\n\n# %%\nplt.figure", "stale"),
    ],
)
def test_a_stale_lesson_is_named(build, built, old, new, what):
    sources(built, _00_try=LESSON.replace(old, new, 1))
    (line,) = faults(build, built)
    assert line.startswith("00_try: ")
    assert what in line


def test_a_stale_exercise_is_named_in_both_editions(build, built):
    sources(built, ex00_try=EXERCISE.replace("eye(3", "eye(4"))
    assert len(faults(build, built)) == 2
    sources(built, ex00_try=EXERCISE.replace("2 * both", "2.0 * both"))
    (line,) = faults(build, built)
    assert line.startswith("solutions/ex00_try")


def test_missing_and_orphaned_notebooks_are_named(build, built):
    (built / "exercises" / "ex00_try.ipynb").rename(built / "exercises" / "ex99_old.ipynb")
    wrong = faults(build, built)
    assert any("exercises/ex00_try: not built yet" in line for line in wrong)
    assert any("ex99_old.ipynb: has no source" in line for line in wrong)


def set_output(text, tag=None):
    def change(notebook):
        notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text=text)]

    return change


def set_count(notebook):
    notebook.cells[2].execution_count = 9


def set_error(notebook):
    notebook.cells[1].outputs = [
        nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
    ]


def set_widgets(notebook):
    notebook.metadata["widgets"] = {"state": {}}


def set_timing(notebook):
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "2030"}


def set_image(notebook):
    notebook.cells[3].outputs[0].data["image/png"] = "A" * 2_100_000


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (set_count, "execution counts are not 1..n: code cell 2 has 9"),
        (set_error, "stores an error: ValueError: no"),
        (set_widgets, "stored metadata.widgets"),
        (set_timing, "has metadata ['execution']"),
        (set_image, "2.1 MB, and 2 MB are allowed"),
        (set_output("saved in /home/me/x.png"), "a path of the machine"),
        (set_output("saved in /Users/anna/x.png"), "a path of the machine"),
        (set_output(r"C:\Users\anna\x.png"), "a path of the machine"),
        (set_output("/tmp/ipykernel_12/3.py:1: UserWarning"), "a path of the machine"),
        (set_output("lib/site-packages/torch/nn.py:3: UserWarning"), "a path of the machine"),
    ],
)
def test_check_names_what_must_not_be_stored(build, built, change, what):
    spoil(built, change)
    wrong = faults(build, built)
    assert any(line.startswith("00_try: ") and what in line for line in wrong), wrong


def test_the_repository_and_the_home_folder_are_machine_paths(build, built):
    from pathlib import Path

    for path in (build.FOLDER.parent / "data", Path.home() / "x"):
        spoil(built, set_output(f"in {path}"))
        assert any("a path of the machine" in line for line in faults(build, built))


def test_a_link_of_the_repository_is_no_machine_path(build, built):
    spoil(built, set_output("see data/street/plain, or https://example.org/home"))
    assert faults(build, built) == []
    spoil(built, set_output('<img src="data:image/png;base64,iVBOR/tmp/x/root/w==">'))
    assert faults(build, built) == []  # chance, not a path


def markdown(text):
    return LESSON.replace("It prints.", text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("![](../data/x.png)", "without alt text"),
        ('<img src="x.png">', "without alt text"),
        ("[next](09_missing.ipynb)", "leads nowhere"),
        ("![a cat](../data/missing.png)", "leads nowhere"),
        ("[next](exercises/ex00_try.ipynb) [web](https://example.org) [up](#top)", None),
        ("[solved](solutions/ex00_try.ipynb)", "leads nowhere from my_workbook/"),
        ("[solved](../notebooks/solutions/ex00_try.ipynb)", None),
        ("`![](x.png)` is how not to write it", None),
    ],
)
def test_pictures_have_alt_text_and_links_lead_somewhere(build, built, text, what):
    sources(built, _00_try=markdown(text))
    build.main(["--prose", "00"], built)
    wrong = faults(build, built)
    assert [line for line in wrong if what in line] if what else not wrong, wrong


def notebook_of(code, words, lines=3):
    cells = [nbformat.v4.new_code_cell("\n".join(["x = 1"] * lines)) for _ in range(code)]
    cells += [nbformat.v4.new_markdown_cell("words") for _ in range(words)]
    return nbformat.v4.new_notebook(cells=cells)


def test_the_style_of_a_lesson_is_measured(build):
    assert list(build.style(notebook_of(25, 30))) == []
    (line,) = build.style(notebook_of(10, 12))
    assert line.startswith("22 cells")
    (line,) = build.style(notebook_of(25, 30, lines=9))
    assert "median of 9 lines" in line
    for code, words in ((30, 29), (20, 41)):
        (line,) = build.style(notebook_of(code, words))
        assert "ratio" in line


def test_style_is_asked_of_lessons_from_01_on(build, tmp_path):
    sources(tmp_path, _00_try="# %%\nx = 1\n", _01_try="# %%\nx = 1\n")
    assert build.main([], tmp_path) == 0
    wrong = faults(build, tmp_path)
    assert {line.split(":")[0] for line in wrong} == {"01_try"}


def test_the_compared_share_is_measured(build, tmp_path):
    many = "".join(f"# %%\nprint({n})\n\n" for n in range(8))
    uncompared = '# %% tags=["nbval-ignore-output"]\nprint("varies")\n\n'
    figure = '# %% tags=["nbval-ignore-output"]\n"no text"\nNone\n'
    sources(tmp_path, _00_try=many + uncompared + figure)
    assert build.main([], tmp_path) == 0
    assert build.check(tmp_path) == ([], 8, 9)
    sources(tmp_path, _00_try=many + uncompared * 2)
    assert build.main([], tmp_path) == 0
    assert build.check(tmp_path) == (["nbval compares 8 of 10 cells, under 85%"], 8, 10)


def test_an_edit_in_jupyter_goes_back_into_the_source(build, built):
    assert build.from_ipynb(built / "00_try.ipynb", built).read_text() == LESSON
    spoil(built, lambda n: n.cells[1].update(source=n.cells[1].source.replace("3", "4")))
    build.from_ipynb(built / "00_try.ipynb", built)
    expected = LESSON.replace("[1, 2, 3]", "[1, 2, 4]")
    assert (built / "src" / "00_try.py").read_text() == expected


def test_an_exercise_goes_back_from_its_solved_edition(build, built):
    solved = built / "solutions" / "ex00_try.ipynb"
    assert build.from_ipynb(solved, built).read_text() == EXERCISE
    spoil(built, lambda n: n.cells[0].update(source="# Renamed"), "solutions/ex00_try")
    build.from_ipynb(solved, built)
    expected = EXERCISE.replace("# # An exercise", "# # Renamed")
    assert (built / "src" / "ex00_try.py").read_text() == expected


def test_a_students_edition_cannot_erase_the_solutions(build, built, capsys):
    before = (built / "src" / "ex00_try.py").read_text()
    assert build.main(["--from-ipynb", str(built / "exercises" / "ex00_try.ipynb")], built) == 1
    assert "edit the notebook in solutions/" in capsys.readouterr().err
    assert (built / "src" / "ex00_try.py").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(["07"], "there are: 00_try, ex00_try"), (["--from-ipynb", "x.ipynb"], "no such notebook")],
)
def test_a_wrong_name_gets_one_line(build, built_once, capsys, arguments, what):
    assert build.main(arguments, built_once) == 1
    error = capsys.readouterr().err
    assert what in error
    assert error.count("\n") == 1


def test_a_source_with_another_name_is_refused(build, tmp_path):
    sources(tmp_path, notes="# %%\nx = 1\n")
    with pytest.raises(build.BuildError, match="NN_name"):
        build.targets(tmp_path)


def test_the_notebooks_of_the_course_are_fresh(build):
    assert faults(build, build.FOLDER) == []
