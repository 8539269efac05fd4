"""Kernels that fork from a warm process: like others, and gone when their notebook is done."""

import os
import sys
import time

import psutil
import pytest
import warm

CHILD = "import time; time.sleep(120)"
HERE = os.path.dirname(os.path.abspath(__file__))


def test_a_forked_kernel_lives_and_ends_like_another(tmp_path, monkeypatch):
    client = pytest.importorskip("jupyter_client")
    monkeypatch.setenv("JUPYTER_PATH", "")              # what `start` sets is undone
    name = warm.start(["xml.dom"])
    if name is None:
        pytest.skip("kernels start afresh on this machine")
    env = os.environ | {"OF_THE_ASKER": "mine"}
    manager, kernel = client.manager.start_new_kernel(kernel_name=name, cwd=str(tmp_path), env=env)
    shown = []

    def run(code):
        reply = kernel.execute_interactive(code, timeout=120, output_hook=shown.append)
        return reply["content"]

    try:
        assert run(f"import os, subprocess, sys, time\n"
                   f"child = subprocess.Popen([sys.executable, '-S', '-c', {CHILD!r}])\n"
                   f"print(os.getpid(), child.pid, os.getcwd(), os.environ['OF_THE_ASKER'],"
                   f" 'xml.dom' in sys.modules, '' in sys.path, {HERE!r} in sys.path,"
                   f" flush=True)")["status"] == "ok"
        text = "".join(m["content"]["text"] for m in shown if m["msg_type"] == "stream")
        *pids, folder, asker, known, own, ours = text.split()
        assert (folder, asker) == (str(tmp_path), "mine")
        assert (known, own, ours) == ("True", "True", "False")
        asked = kernel.execute("print('asleep', flush=True); time.sleep(120)")
        while kernel.get_iopub_msg(timeout=60)["msg_type"] != "stream":  # the cell itself runs
            pass
        manager.interrupt_kernel()
        while (reply := kernel.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != asked:
            pass
        assert reply["content"]["ename"] == "KeyboardInterrupt"
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    until = time.monotonic() + 60
    while any(runs_still(int(pid)) for pid in pids):
        assert time.monotonic() < until, "the kernel, or what it started, is left behind"
        time.sleep(0.02)


def runs_still(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_kernels_start_afresh(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    assert warm.start() is None


def test_a_process_that_cannot_import_is_not_asked(monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "as it was")
    assert warm.start(["no_such_module"]) is None and os.environ["JUPYTER_PATH"] == "as it was"
