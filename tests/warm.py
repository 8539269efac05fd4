"""Kernels that fork from one process, so that torch is imported once for all notebooks of a run.

There is a kernel for every notebook, and to import torch, torchvision and albumentations takes each
of them seconds. So one process imports them, runs nothing, and forks whenever nbval asks for a
kernel. On Linux without a GPU only: elsewhere such a fork is not safe, and nbval starts its kernels
as ever. `notebooks/build.py` always does: what is stored comes from a kernel such as a reader has.

    python tests/warm.py serve SOCKET MODULE …    until its stdin is closed
    python tests/warm.py ask SOCKET FILE          Jupyter takes it for the kernel: it lives as long
"""

import atexit
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

NAME = "workbook-warm"
# Not matplotlib, whose backend follows from the environment when it is imported.
MODULES = "torch", "torchvision", "albumentations"
GPUS = "/dev/nvidiactl", "/dev/kfd"     # CUDA's and ROCm's devices


def start(modules=MODULES):
    """Start the process; the name of Jupyter's kernel that asks it, None where there is none."""
    if sys.platform != "linux" or any(map(os.path.exists, GPUS)):
        return None
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    line, spec = folder / "line", folder / "kernels" / NAME / "kernel.json"
    server = subprocess.Popen([sys.executable, __file__, "serve", line, *modules],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    atexit.register(server.stdin.close)
    if server.stdout.readline() != b"warm\n":
        return None
    argv = [sys.executable, "-I", "-S", __file__, "ask", str(line), "{connection_file}"]
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": argv, "display_name": NAME, "language": "python"}))
    os.environ["JUPYTER_PATH"] = str(folder)
    return NAME


def serve(path, *modules):
    """Import, say so, and fork for each that asks."""
    del sys.path[0]                                 # this folder; a kernel has its notebook's
    for name in ("ipykernel.kernelapp", *modules):
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(path)
        line.listen()
        print("warm", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)      # nobody asks how a kernel has ended
        while line in select.select([line, sys.stdin], [], [])[0]:
            asked, _ = line.accept()
            if os.fork() == 0:
                try:
                    become_kernel(asked)
                finally:
                    os._exit(1)
            asked.close()


def become_kernel(asked):
    """In the fork: the kernel that was asked for, in the asker's folder and environment."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    with asked.makefile() as lines:
        file, folder, environment = json.loads(lines.readline())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.environ.pop("JPY_PARENT_PID", None)          # its parent is another one than Jupyter thinks
    asked.sendall(b"%d" % os.getpid())
    threading.Thread(target=end_with, args=[asked], daemon=True).start()
    from ipykernel import kernelapp

    sys.argv = ["ipykernel_launcher", "-f", file]
    kernelapp.launch_new_instance()
    os._exit(0)


def end_with(asked):
    """Wait until the asker is gone, and end with all that was started here."""
    asked.recv(1)
    os.killpg(0, signal.SIGKILL)


def ask(path, file):
    """Stand for a kernel: hand signals on to it, and end when it ends."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        line.sendall(json.dumps([file, os.getcwd(), dict(os.environ)]).encode() + b"\n")
        kernel = int(line.recv(20))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.killpg(kernel, number))
        line.recv(1)


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
