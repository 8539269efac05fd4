"""How much `uv run workbook` downloads: the wheels of uv.lock, added up for each system.

    uv lock && uv run python benchmarks/download.py

Nothing is downloaded: the sizes stand in the lock file. Compares what this machine would fetch
with macOS on Apple silicon and Windows, which it can only compute.
"""

import sys
import tomllib
from pathlib import Path

from packaging.markers import Marker, default_environment
from packaging.tags import compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = {
    "Linux, x86-64": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macOS, Apple silicon": {
        "sys_platform": "darwin",
        "platform_system": "Darwin",
        "os_name": "posix",
    },
    "Windows, x86-64": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
MACHINES = ["x86_64", "arm64", "AMD64"]


def platforms(system):
    """Platform tags of wheels, best first."""
    if system == "Windows, x86-64":
        return ["win_amd64"]
    if system == "macOS, Apple silicon":
        return list(mac_platforms((15, 0), "arm64"))
    return [f"manylinux_2_{n}_x86_64" for n in range(39, 4, -1)] + [
        "manylinux2014_x86_64",
        "manylinux2010_x86_64",
        "manylinux1_x86_64",
        "linux_x86_64",
    ]


def needed(packages, environment):
    """The locked packages that the project with its dev extra needs in an environment."""
    by_name = {}
    for package in packages:
        markers = package.get("resolution-markers")
        if not markers or any(Marker(m).evaluate(environment) for m in markers):
            by_name[package["name"]] = package
    todo, seen = [("segutils", ("dev",))], set()
    while todo:
        name, extras = todo.pop()
        package = by_name[name]
        wanted = list(package.get("dependencies", []))
        for extra in extras:
            wanted += package.get("optional-dependencies", {}).get(extra, [])
        for one in wanted:
            key = (one["name"], tuple(one.get("extra", ())))
            fits = "marker" not in one or Marker(one["marker"]).evaluate(environment)
            if fits and key not in seen:
                seen.add(key)
                todo.append(key)
    return [by_name[name] for name in {name for name, _ in seen} - {"segutils"}]


def size(package, tags):
    """Bytes of the wheel that an installer picks; of the source where no wheel fits."""
    fitting = {}
    for wheel in package.get("wheels", []):
        name = wheel["url"].rsplit("/", 1)[-1].replace("%2B", "+")
        for tag in parse_wheel_filename(name)[3]:
            if tag in tags:
                fitting[tags[tag]] = wheel["size"]
    return fitting[min(fitting)] if fitting else package.get("sdist", {}).get("size", 0)


def main():
    lock = ROOT / "uv.lock"
    if not lock.exists():
        sys.exit("no uv.lock: run `uv lock` first")
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    python = sys.version_info[:2]
    print(f"Python {python[0]}.{python[1]}")
    for (system, values), machine in zip(SYSTEMS.items(), MACHINES, strict=True):
        environment = {**default_environment(), **values, "platform_machine": machine}
        named = platforms(system)
        order = [*cpython_tags(python, platforms=named), *compatible_tags(python, None, named)]
        tags = {tag: place for place, tag in reversed(list(enumerate(order)))}
        sizes = {p["name"]: size(p, tags) for p in needed(packages, environment)}
        largest = sorted(sizes, key=sizes.get, reverse=True)[:3]
        total = sum(sizes.values()) / 1e9
        print(
            f"{system:<22} {len(sizes)} packages, {total:.2f} GB, the largest: "
            + ", ".join(f"{name} {sizes[name] / 1e6:.0f} MB" for name in largest)
        )


if __name__ == "__main__":
    main()
