"""What runs in a student's process: the notebook's cells, and the answers' calls on the cases.

`main()` takes one job from stdin and sends messages to stdout; `main(FD)` is kept warm (Linux):
importing torch takes seconds, so one process imports all that notebooks need, runs none of a
student's code, and forks for every job that comes over its socket. The job is pickled by the
grader, who is trusted; what goes back is `wire.py`'s plain data.
"""

import contextlib
import ctypes
import importlib
import os
import pickle
import re
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

import numpy as np

from segutils.grading import wire

GONE = -1  # the place of an exercise whose cell cannot be found: after the last cell
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # Linux, <sys/prctl.h>
MISSING = object()


class Ask(NamedTuple):
    """An exercise to be looked at after a cell: `answer` is the course's expression for it."""

    name: str
    answer: str


@dataclass
class Job:
    """One run of one notebook.

    cells    (number in the notebook, source) of the code cells that are to run, in order
    asks     what to look at after which cell; `GONE` stands for the end
    done     (place, exercise) that an earlier run has looked at
    settled  exercises that an earlier run has found an answer to
    hidden   more cases of some exercises, pickled
    """

    folder: str
    cells: list[tuple[int, str]]
    asks: dict[int, list[Ask]]
    done: set[tuple[int, str]] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    hidden: dict[str, bytes] = field(default_factory=dict)
    seed: int = 1
    seconds: float = 60.0
    memory: int = 2 * 2**30
    disk: int = 200 * 2**20
    processes: int = 32


# ---- the notebook --------------------------------------------------------------------------------


class Run:
    """A notebook that is being run; everything that happens is said to the grader at once."""

    def __init__(self, job: Job, channel: BinaryIO):
        self.job, self.channel, self.pid = job, channel, os.getpid()
        self.answered = set(job.settled)
        names = {ask.name for asks in job.asks.values() for ask in asks}
        self.tasks = {name: self._task(name) for name in sorted(names)}
        self.handed: dict[str, object] = {}  # what the student's own check was given last
        self.shell = shell()
        self._put_check_aside()

    def say(self, **message) -> None:
        if os.getpid() != self.pid:  # a fork of the notebook's: one of the two goes on
            os._exit(0)
        wire.send(self.channel, message)

    def _task(self, name: str):
        """The exercise, its cases and the hidden ones, drawn before a student's line has run."""
        from segutils.exercises import exercise

        task = exercise(name)
        hidden = pickle.loads(self.job.hidden[name]) if name in self.job.hidden else []
        return task, task.cases(np.random.default_rng(self.job.seed)), hidden

    def _put_check_aside(self) -> None:
        """In the notebook, `check` only notes what it is handed: the grader asks for itself."""
        from segutils import exercises

        def check(name, answer, **options):
            task = exercises.exercise(name)
            self.handed[task.name] = answer
            return exercises.Result(task.name, task.title, "not attempted yet", 0, task.points)

        exercises.check, exercises.hint = check, lambda name: None

    def all(self) -> None:
        """Run the cells, and look at each exercise where it stands."""
        for number, source in self.job.cells:
            self.say(cell=number)
            error = run_cell(self.shell, source)
            if error:
                self.say(error=number, text=error)
            self.look(number)
        self.look(GONE)
        self.say(done=True)

    def look(self, place: int) -> None:
        for ask in self.job.asks.get(place, []):
            settled = place == GONE and ask.name in self.answered
            if (place, ask.name) not in self.job.done and not settled:
                self.say(exercise=ask.name, place=place)
                self.one(ask, place)

    def one(self, ask: Ask, place: int) -> None:
        """What the answer does on all cases, said to the grader."""
        from segutils.exercises.calling import collect

        task, cases, hidden = self.tasks[ask.name]
        answer = self.value(ask.answer)
        report = None if answer is MISSING else collect(task, answer, cases, self.job.seconds)
        if (report is None or report.blank) and ask.name in self.handed:
            answer = self.handed[ask.name]
            report = collect(task, answer, cases, self.job.seconds)
        if report is None:
            self.say(missing=ask.name, place=place)
            return
        more = None
        if hidden and not report.blank and not report.stopped:
            more = collect(task, answer, hidden, self.job.seconds)
        if not report.blank:
            self.answered.add(ask.name)
        self.say(report=ask.name, place=place, did=wire.pack_report(report),
                 hidden=more and wire.pack_report(more))
        if "stuck" in (report.stopped, more and more.stopped):
            os._exit(0)  # a thread that cannot be stopped would slow down all that follows

    def value(self, expression: str):
        try:
            return eval(expression, self.shell.user_ns)
        except Exception:
            return MISSING


def shell():
    """An IPython that keeps no history and shows nothing; magics and `!` work as in Jupyter."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    made = InteractiveShell.instance(config=config)
    made.showtraceback = made.showsyntaxerror = lambda *args, **kwargs: None
    return made


def run_cell(shell, source: str) -> str:
    """Run one cell; "" or what it stopped with, in a line."""
    from segutils.exercises.calling import failure

    try:
        result = shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
    except BaseException as raised:  # SystemExit, KeyboardInterrupt: a cell may do anything
        error = raised
    with contextlib.suppress(BaseException):  # as Jupyter does: a figure ends with its cell
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
    if error is None:
        return ""
    found = failure(error)
    message = re.sub(r" \(<[^>]*>, line (\d+)\)", r" (line \1)", found.message)
    where = f" ({found.where})" if found.where else ""
    return f"{found.kind}: {message}{where}"


# ---- the process ---------------------------------------------------------------------------------


def work() -> None:
    """One job, from stdin; messages go to what stdout was, and prints nowhere."""
    job = pickle.loads(sys.stdin.buffer.read())
    channel = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.chdir(job.folder)
    os.environ.update(home(job.folder))
    tempfile.tempdir = None
    sys.path.insert(0, "")  # as in Jupyter: modules beside the notebook
    try:
        run = Run(job, channel)
        limit(job)
        run.say(ready=True)
        run.all()
    except BaseException as error:
        with contextlib.suppress(BaseException):
            wire.send(channel, {"trouble": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)  # nothing that a student left for the end is run


def home(folder: str) -> dict[str, str]:
    """The variables that make a folder the place for everything that is written in passing."""
    names = ("HOME", "USERPROFILE", "TMPDIR", "TMP", "TEMP", "IPYTHONDIR", "JUPYTER_CONFIG_DIR",
             "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TORCH_HOME", "MPLCONFIGDIR")
    return dict.fromkeys(names, folder)


def limit(job: Job) -> None:
    """The kernel's own limits, where there are any; `keeper.py` watches besides."""
    try:
        import resource
    except ImportError:  # Windows
        return
    whole = int(5 * job.seconds + 30) * (os.cpu_count() or 1)
    wanted = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": job.disk, "RLIMIT_CPU": whole}
    if sys.platform == "linux":
        wanted["RLIMIT_DATA"] = private_bytes() + job.memory
        if os.getuid():  # root is not counted
            wanted["RLIMIT_NPROC"] = threads_of_user() + 8 * job.processes
    for name, value in wanted.items():
        kind = getattr(resource, name)
        _, most = resource.getrlimit(kind)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (value, value))


def private_bytes() -> int:
    """The memory that Linux counts against RLIMIT_DATA, in use by now."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))


def threads_of_user() -> int:
    import psutil

    mine = os.getuid()
    found = psutil.process_iter(["uids", "num_threads"])
    return sum(p.info["num_threads"] or 1 for p in found
               if p.info["uids"] and p.info["uids"].real == mine)


# ---- kept warm -----------------------------------------------------------------------------------


def preload() -> None:
    """Import what notebooks import, and no more: nothing here may start a thread."""
    import gc

    import cv2
    import torch
    from IPython.core import interactiveshell  # noqa: F401
    from matplotlib import pyplot  # noqa: F401

    from segutils import show, street, unet  # noqa: F401
    from segutils.exercises import LESSONS

    for module in LESSONS.values():
        importlib.import_module(module)
    cv2.setNumThreads(1)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # a first one imports much
    gc.freeze()  # so that a fork shares these pages for as long as it can


def serve(line: socket.socket) -> None:
    """Fork for each job: (stdin, stdout) come over the line, pid and exit status go back."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    die_with_parent()
    preload()
    line.sendall(b"warm")
    while True:
        asked, files, _, _ = socket.recv_fds(line, 1, 2)
        if not asked:
            return
        pid = os.fork()
        if pid == 0:
            become_student(line, *files)
        for file in files:
            os.close(file)
        line.sendall(pid.to_bytes(4, "big"))
        status = wait_for(pid)
        bury()
        line.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


def wait_for(pid: int) -> int:
    """Reap whatever ends, orphans too, until it is that process; its status."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return status


def bury() -> None:
    """End all that a submission left behind: orphans of its processes are this one's children."""
    import psutil

    while True:
        for one in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                one.kill()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def become_student(line: socket.socket, stdin: int, stdout: int) -> None:
    """In the fork: leave the line, take the two files, and never come back."""
    try:
        line.close()
        os.setsid()
        die_with_parent()
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.close(stdin)
        os.close(stdout)
        sys.stdin = os.fdopen(0, closefd=False)
        work()
    finally:
        os._exit(1)


def main(line: int | None = None) -> None:
    """One job from stdin; or, with the descriptor of a socket, one after the other from there."""
    if line is None:
        work()
    else:
        serve(socket.socket(fileno=line))
