"""Shared by the package's tests and by nbval's run of the notebooks."""

import importlib.util
import os
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent

# Before anything imports matplotlib or albumentations: no window, no question to a registry.
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# And before torch is imported: processes side by side share the cores. Threads that wait for a core
# spin meanwhile, and two processes then take as long as one.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def load_build():
    """The module notebooks/build.py, which belongs to no package."""
    if "build" not in sys.modules:
        sys.path.append(str(ROOT / "notebooks"))  # where build.py finds bundle.py
        spec = importlib.util.spec_from_file_location("build", ROOT / "notebooks" / "build.py")
        sys.modules["build"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["build"])
    return sys.modules["build"]


@pytest.fixture(scope="session")
def build():
    return load_build()


def pytest_configure(config):
    """Lets pytest be started in any folder, and Hypothesis take its time on a busy machine."""
    sanitize = config.getoption("nbval_sanitize_with", None)
    if sanitize and not Path(sanitize).is_absolute():
        config.option.nbval_sanitize_with = str(config.rootpath / sanitize)
    from hypothesis import settings

    settings.register_profile("course", deadline=None)
    settings.load_profile("course")


def is_notebook(item):
    return item.path.suffix == ".ipynb"


def pytest_collection_modifyitems(items):
    """The package's tests are quick: they come first."""
    items.sort(key=is_notebook)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Notebooks run under nbval in the environment in which the build ran them.

    If there are several, their kernels fork from one process that has imported torch, where that
    can be done: see `tests/warm.py`.
    """
    if is_notebook(item) and "MPLBACKEND" in os.environ:
        environment = load_build().kernel_environment()
        os.environ.clear()
        os.environ.update(environment)
        sys.path.append(str(ROOT / "tests"))
        import warm

        several = len({other.path for other in item.session.items if is_notebook(other)}) > 2
        if several and (kernel := warm.start()):
            item.config.option.nbval_current_env = False
            item.config.option.nbval_kernel_name = kernel


SECONDS = defaultdict(float)


def pytest_runtest_logreport(report):
    path = report.nodeid.split("::")[0]
    if path.endswith(".ipynb"):
        SECONDS[path] += report.duration


def pytest_terminal_summary(terminalreporter):
    """Minutes that each notebook took, beside its budget."""
    if not SECONDS:
        return
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    budget = settings["tool"]["workbook"]["budget-minutes"]
    terminalreporter.section("minutes of the notebooks")
    total = 0.0
    for path, seconds in SECONDS.items():
        name = str(Path(path).relative_to("notebooks").with_suffix("")) if "/" in path else path
        allowed = budget.get(Path(path).stem, budget["default"])
        over = "  over its budget" if seconds / 60 > allowed else ""
        terminalreporter.line(f"{name:<44} {seconds / 60:6.2f} of {allowed:4.1f}{over}")
        total += seconds / 60
    terminalreporter.line(f"{'all':<44} {total:6.2f}")
