"""Starts, watches and ends students' processes.

The kernel's own limits (`student.limit`) refuse what goes too far at once, so that code sees an
error it can name; the watch here looks several times a second at everything a submission has
started, and ends it all. On macOS the kernel knows no limit on memory, on Windows it sets none, and
on both a process that cuts itself off from its parents may outlive the run: `missing()` says so.
"""

import contextlib
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import dumps
from typing import BinaryIO, NamedTuple

import psutil

from segutils.grading import wire
from segutils.grading.student import Job, home

ROOT = Path(__file__).resolve().parents[2]
LINUX = sys.platform == "linux"
POLL = 0.2  # seconds from one look at a submission's processes to the next
PATIENCE = 15.0  # seconds that the end of a process may take
START = 300.0  # seconds that a first import of torch may take
FILES = 5000  # that a submission may write
MB = 2**20


@dataclass(frozen=True)
class Limits:
    """What one notebook may use. Generous: no mark may depend on how fast a machine is.

    seconds    for one cell, and for one exercise's calls; five times that for a whole notebook
    memory     bytes, beyond what the course's own imports take
    disk       bytes written to the notebook's folder, and to any one file
    processes  at the same time
    sent       bytes of messages to the grader
    """

    seconds: float = 60.0
    memory: int = 2048 * MB
    disk: int = 200 * MB
    processes: int = 32
    sent: int = 128 * MB

    @property
    def whole(self) -> float:
        return 5 * self.seconds


class End(NamedTuple):
    """How a run ended. why: "" (it came to its end), a limit's name, "whole" or "left".

    status is the exit status where it is known; at what was last said to begin: ("cell", number),
    ("exercise", name, place), or () before the first cell.
    """

    why: str
    at: tuple = ()
    status: int | None = None


def missing() -> str:
    """What this system cannot do, in one line; "" where nothing is missing."""
    if LINUX and os.getuid():
        return ""
    if LINUX:
        return ("you are root, whom Linux does not limit in processes: they are counted and ended, "
                "but a fork bomb may slow the machine down first")
    return ("here memory and processes are watched, but no limit of the system's own holds them, "
            "and a process that leaves its parents may outlive its notebook")


def environment(folder: str) -> dict[str, str]:
    """What a student's process finds in its environment: nothing of the instructor's."""
    keep = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "COMSPEC", "PATHEXT")
    return {
        **{name: os.environ[name] for name in keep if name in os.environ},
        **home(folder),
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "HF_HUB_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
    }


def lend_fonts(folder: str) -> None:
    """Give a new Python matplotlib's list of fonts, which takes seconds to make."""
    import matplotlib

    for path in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
        with contextlib.suppress(OSError):
            shutil.copyfile(path, Path(folder, path.name))


def command(*arguments: object) -> list[str]:
    start = "import sys; from segutils.grading.student import main; main(*map(int, sys.argv[1:]))"
    return [sys.executable, "-P", "-c", start, *map(str, arguments)]


class KeeperError(Exception):
    """What keeps any notebook from being run, in one line."""


# ---- processes -----------------------------------------------------------------------------------


class Cold:
    """Starts a new Python for every job: everywhere."""

    def __init__(self, folder: Path):
        self.folder, self.process, self.stopped = folder, None, False

    def start(self, job: Job) -> BinaryIO:
        """Start a job; what its messages are read from."""
        self._go_on()
        lend_fonts(job.folder)
        with tempfile.TemporaryFile() as file:
            file.write(dumps(job))
            file.seek(0)
            self.process = subprocess.Popen(
                command(), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=environment(job.folder), cwd=job.folder, start_new_session=True)
        return self.process.stdout

    def _go_on(self) -> None:
        if self.stopped:
            raise KeeperError("grading was stopped")

    def main(self) -> int:
        return self.process.pid

    def top(self) -> psutil.Process | None:
        """The process whose descendants belong to the job."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.process.pid)

    def running(self) -> list[psutil.Process]:
        """All processes of the job that can be found."""
        top = self.top()
        return [top, *descendants(top)] if top and self.process.poll() is None else []

    def wait(self) -> int | None:
        """Its exit status, after it was ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End what still runs; the next job starts afresh."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End what still runs, and start nothing more."""
        self.stopped = True
        self.close()


class Warm(Cold):
    """Keeps a process that has imported everything, and lets it fork for every job: Linux."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.line = self.pid = None

    def start(self, job: Job) -> BinaryIO:
        self._go_on()
        if self.line is None or self.process.poll() is not None:
            self._warm_up()
        with tempfile.TemporaryFile() as file:
            file.write(dumps(job))
            file.seek(0)
            read, write = os.pipe()
            try:
                socket.send_fds(self.line, [b"!"], [file.fileno(), write])
            finally:
                os.close(write)
        self.pid = int.from_bytes(self._answer(4, PATIENCE), "big")
        return os.fdopen(read, "rb")

    def _warm_up(self) -> None:
        if self.line:
            self.line.close()
        lend_fonts(str(self.folder))
        self.line, theirs = socket.socketpair()
        log = self.folder / "warm.log"
        with theirs, log.open("wb") as errors:
            self.process = subprocess.Popen(
                command(theirs.fileno()), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=errors, cwd=self.folder, start_new_session=True,
                env=environment(str(self.folder)))
        try:
            self._answer(4, START)
        except OSError as error:
            self.process.kill()
            if isinstance(error, TimeoutError):
                raise KeeperError(f"the course was not imported within {START:g} s: is the machine "
                                  "busy with something else? Grade again when it is not") from None
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise KeeperError(f"the course cannot be imported: {last or '(no reason)'}") from None

    def _answer(self, size: int, seconds: float) -> bytes:
        """So many bytes from the warm process. Raises OSError if it is gone or silent."""
        self.line.settimeout(seconds)
        data = b""
        while len(data) < size:
            more = self.line.recv(size - len(data))
            if not more:
                raise ConnectionResetError("the warm process is gone")
            data += more
        return data

    def main(self) -> int:
        return self.pid

    def running(self) -> list[psutil.Process]:
        top = self.top()
        return descendants(top) if top else []

    def wait(self) -> int | None:
        """The exit status, once the warm process has ended all that was left; None if it cannot."""
        try:
            return int.from_bytes(self._answer(4, PATIENCE), "big", signed=True)
        except OSError:  # killed or stopped by the job itself
            for one in self.running():
                with contextlib.suppress(psutil.Error):
                    one.kill()
            self.close()
            return None

    def close(self) -> None:
        super().close()
        if self.line:
            self.line.close()
            self.line = None


def alive(process: psutil.Process) -> bool:
    """Whether it runs: this very process, not a later one of its number."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


# ---- watching ------------------------------------------------------------------------------------


class Watch:
    """One run of one job: what it says, and whether it keeps within its limits."""

    def __init__(self, place: Cold, job: Job, limits: Limits, heard: Callable[[dict], None],
                 left: float):
        self.place, self.job, self.limits, self.heard = place, job, limits, heard
        self.left = left  # seconds that the notebook's runs may still take
        self.messages: queue.Queue = queue.Queue(100)
        self.seen: set[psutil.Process] = set()
        self.at: tuple = ()
        self.base: int | None = None
        self.looked, self.gone = 0.0, None

    def run(self) -> End:
        """Run the job to its end or to a limit; nothing of it is left when this returns."""
        stream = self.place.start(self.job)
        with contextlib.suppress(psutil.Error):
            self.seen.add(psutil.Process(self.place.main()))
        self.began = self.since = time.monotonic()
        self.reader = threading.Thread(target=self._read, args=[stream], daemon=True)
        self.reader.start()
        try:
            why = None
            while why is None:
                why = self._next()
        finally:
            status = self._end()
        self.left -= time.monotonic() - self.began
        until = time.monotonic() + PATIENCE
        while self.reader.is_alive() and time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                self.messages.get(timeout=0.05)
        if not self.reader.is_alive():
            stream.close()
        return End(why, self.at, status)

    def _read(self, stream: BinaryIO) -> None:
        """In a thread: put the messages into the queue, None at the end."""
        left = self.limits.sent
        try:
            while True:
                message, size = wire.receive(stream, left)
                left -= size
                self.messages.put(message)
                if message is None:
                    return
        except wire.Refused:
            self.messages.put({"refused": True})
        except (OSError, ValueError):
            self.messages.put(None)

    def _next(self) -> str | None:
        """Take one message or look around; the reason to end, None while there is none."""
        now = time.monotonic()
        if now - self.looked > POLL:
            over = self._over()
            self.looked = time.monotonic()
            if over:
                return over
        try:
            message = self.messages.get(timeout=POLL)
        except queue.Empty:
            return self._silent()
        if message is None:
            return "left"
        if "refused" in message:
            return "sent"
        return self._hear(message)

    def _silent(self) -> str | None:
        """Nothing was heard: go on, but not for ever where the process is gone.

        Its last words may still be on their way, for on a busy machine the thread that reads them
        comes late. They end when all are dead that could speak.
        """
        if self._alive():
            return None
        if self.gone is None:
            self.gone = time.monotonic()
            self._kill()
        return "left" if time.monotonic() - self.gone > PATIENCE else None

    def _hear(self, message: dict) -> str | None:
        if "done" in message:
            return ""
        if "ready" in message:
            self.base = self._memory()
        elif type(message.get("cell")) is int:
            self.at, self.since = ("cell", message["cell"]), time.monotonic()
        elif type(message.get("exercise")) is str and type(message.get("place")) is int:
            self.at = ("exercise", message["exercise"], message["place"])
            self.since = time.monotonic()
        self.heard(message)
        return None

    def _alive(self) -> bool:
        return any(one.pid == self.place.main() and alive(one) for one in self.seen)

    def _over(self) -> str | None:
        """The limit that is passed, if one is."""
        now, limits = time.monotonic(), self.limits
        # An exercise has its own clock inside, and hidden cases as many seconds again.
        step = limits.seconds if self.at[:1] != ("exercise",) else 2 * limits.seconds + 5
        if now - self.since > step:
            return "seconds"
        if now - self.began > self.left:
            return "whole"
        running = self.place.running()
        self.seen.update(running)
        if len(running) > limits.processes:
            return "processes"
        if self.base is not None and self._memory(running) - self.base > limits.memory:
            return "memory"
        return "disk" if written(Path(self.job.folder), limits) else None

    def _memory(self, running: list[psutil.Process] | None = None) -> int:
        """Bytes of all processes; what a fork has from the first one is not counted again."""
        total = 0
        for one in self.place.running() if running is None else running:
            with contextlib.suppress(psutil.Error):
                mine = one.memory_info().rss
                total += mine if one.pid == self.place.main() else max(0, mine - (self.base or 0))
        return total

    def _end(self) -> int | None:
        """End the job and whatever it has started; its exit status."""
        self._kill()
        return self.place.wait()

    def _kill(self) -> None:
        self.seen.update(self.place.running())
        main = self.place.main()
        if any(one.pid == main and alive(one) for one in self.seen) and hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(main, signal.SIGKILL)  # all at once: a fork cannot get away
        for one in sorted(self.seen, key=lambda one: one.pid != main):
            if alive(one):
                with contextlib.suppress(psutil.Error):
                    one.kill()


def written(folder: Path, limits: Limits) -> bool:
    """Whether a folder holds more bytes or files than it may."""
    size, files, folders = 0, 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                    if size > limits.disk or files > FILES:
                        return True
        except OSError:  # gone by now, not readable, or too deep for a path
            continue
    return False


def delete(folder: Path) -> bool:
    """Delete a submission's folder, whatever it did to its permissions; False if it resists."""
    with contextlib.suppress(OSError, RecursionError):
        for path, folders, _ in os.walk(folder):
            for name in folders:
                with contextlib.suppress(OSError):
                    if not os.path.islink(os.path.join(path, name)):
                        os.chmod(os.path.join(path, name), 0o700)
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(folder)
    if folder.exists() and shutil.which("rm"):  # which gets to any depth
        subprocess.run(["rm", "-rf", "--", folder], stderr=subprocess.DEVNULL, check=False)
    return not folder.exists()
