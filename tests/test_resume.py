"""A run that is killed anywhere and started again ends as if nothing had happened.

`SEGUTILS_KILLS=200 uv run pytest -m slow tests/test_resume.py -s` kills 200 times.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("killable.py")
# How often an undisturbed run comes to each place; "clock" is a kill from outside, at any time.
PLACES = {"load": 250, "step": 22, "validation": 8, "write": 28, "sync": 28, "move": 28,
          "folder": 28, "clock": 0}
CHAIN = 5                                       # kills of one run, one after the other

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 is of Unix")


class Runs:
    """Starts runs of killable.py, and kills those that do not kill themselves."""

    def __init__(self, log):
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[1])}
        self.log = log
        self.server = subprocess.Popen([sys.executable, SCRIPT], env=env, text=True, bufsize=1,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=log.open("w"))

    def go(self, folder, place="", number=0, seconds=None):
        """The exit status of a run: 0, or -9 if it was killed."""
        print(folder, place, number, sep="\t", file=self.server.stdin)
        process = int(self.server.stdout.readline())
        if seconds is not None:
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):       # it may be done before
                os.kill(process, signal.SIGKILL)
        return int(self.server.stdout.readline().split()[1])

    def finish(self, folder):
        assert self.go(folder) == 0, self.log.read_text()
        return torch.load(folder / "result.pt", weights_only=True)

    def killed_at(self, folder, dice, place):
        """Run until it is killed there; whether it was, or was done before."""
        if place == "clock":
            status = self.go(folder, seconds=dice.uniform(0, 0.3))
        else:
            status = self.go(folder, place, dice.randint(1, PLACES[place] // CHAIN))
        assert status in (0, -signal.SIGKILL), self.log.read_text()
        return status == -signal.SIGKILL


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = Runs(tmp_path_factory.mktemp("log") / "stderr.txt")
    yield runs
    runs.server.stdin.close()
    runs.server.wait()


@pytest.fixture(scope="module")
def undisturbed(runs, tmp_path_factory):
    return runs.finish(tmp_path_factory.mktemp("undisturbed"))


def assert_same(result, expected):
    for name, tensor in expected[0].items():
        assert torch.equal(result[0][name], tensor), name
    assert result[1] == expected[1]             # the loss of every step
    assert result[2] == expected[2]             # the rows of the history


def test_two_undisturbed_runs_are_the_same(runs, undisturbed, tmp_path):
    assert_same(runs.finish(tmp_path), undisturbed)
    assert len(undisturbed[1]) == 22 and len(undisturbed[2]) == 8


def test_five_kills_leave_no_trace(runs, undisturbed, tmp_path):
    dice = random.Random(1)
    for place in ("write", "step", "move", "load"):
        assert runs.killed_at(tmp_path, dice, place), place
    runs.killed_at(tmp_path, dice, "clock")
    assert_same(runs.finish(tmp_path), undisturbed)
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.slow
def test_many_kills_leave_no_trace(runs, undisturbed, tmp_path):
    wanted, killed, chain = int(os.environ.get("SEGUTILS_KILLS", 50)), {}, 0
    while sum(killed.values()) < wanted:
        folder, dice = tmp_path / f"{chain}", random.Random(chain)
        folder.mkdir()
        for place in dice.choices(list(PLACES), k=CHAIN):
            killed[place] = killed.get(place, 0) + runs.killed_at(folder, dice, place)
        assert_same(runs.finish(folder), undisturbed)
        chain += 1
    print(f"\n{sum(killed.values())} kills in {chain} runs left no trace: {killed}")
