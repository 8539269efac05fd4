"""Grading: `python -m segutils grade FOLDER --out grades.csv` marks a folder of submissions.

Each notebook runs in a process of its own, with limits (`keeper.py`), a clean environment and a
temporary folder, so that one which hangs, exits or fills the memory costs its own marks alone.

**What is the instructor's.** Which exercises a notebook has, and what in it is the answer, comes
from the course's own notebook: for `check("ex05.resume", (save, load))` it is the value of
`(save, load)` after the student's cell of that exercise. The cell is found by its `check`, else by
its cell id or nbgrader's `grade_id`; if it is gone, the names are looked up after the last cell. So
cells may be moved, copied, split or renamed: of each, the part that is graded is put back as handed
out, and the answer above it stays. What the student's own `check` says counts for nothing: it may
be deleted, redefined or answered by a print. (What it was handed is looked at where the course's
name is missing or still blank: so a renamed function counts.) A cell that fails costs its own
exercise; the others are still run and marked.

**What is scored where.** The answer has to run in the student's process: it is called there on the
cases, which were drawn before the student's code began (`student.py`, `exercises.calling`). What
it returned, raised and changed leaves that process as plain data, JSON and the bytes of arrays
(`wire.py`): no pickle, no object with an opinion of its own on `==`. That is compared with the
right values in the grader's own process (`marking.py`, `exercises.judging`), where the tolerances,
known mistakes and points are as well. So it is for hidden tests: their inputs alone are sent. Where
an answer is handed a network or a run (`ex05.accumulate`, `ex05.resume`), its gradients and states
are read in the student's process, and judged here.

**What this is not.** It is no security boundary against a determined attacker: a submission has
the rights of whoever grades. It can read that person's files, use the network, signal processes
of the same user, and send whatever it likes to the grader (which reads it as data; but code that
imports the course's package to work out right values gets them). To put a boundary around it, grade
in a container, as a user that is not root, without network, and with nothing else mounted. As a
beginning (IMAGE has the course installed; this line was not tried):

    docker run --rm --network none --memory 8g --pids-limit 500 --user 1000 \\
        -v "$PWD/handed_in:/handed_in:ro" -v "$PWD/marks:/marks" IMAGE \\
        python -m segutils grade /handed_in --out /marks/grades.csv

**Time is no mark.** What is stopped by a limit has no points, not 0: its status is "not marked".

**Hidden tests** lie in a folder of their own, given by `--tests FOLDER`: each `exNN*.py` in it
holds CASES, more cases for exercises that have an oracle, declared as the course declares its own:

    from segutils.exercises.declare import Case
    CASES = {"ex04.dice": lambda rng: [Case("a mask of one row", (pred, target, 3))]}
"""
