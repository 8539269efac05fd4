"""The measurements run and print their tables; no test looks at a time."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_data_quick(tmp_path):
    script = ROOT / "benchmarks" / "data.py"
    done = subprocess.run([sys.executable, script, "--quick", "--size", "48"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^  (\S.*?) +(\d+) +\d+-\d+ +(\d+\.\d\d)$", done.stdout, re.MULTILINE)
    names = [name for name, *_ in rows]
    assert len(rows) == 12 and names[2:4] == ["albumentations", "torchvision"]
    assert names[-3:] == ["0 workers", "1 workers", "2 workers"]
    assert all(int(rate) > 0 for _, rate, _ in rows)
    assert "cores" in done.stdout and str(ROOT) not in done.stdout


def test_the_card_has_a_reference_score_for_each_difficulty():
    """One step of the recipe runs; the card holds the table of the whole, whose means add up."""
    script = ROOT / "benchmarks" / "reference.py"
    done = subprocess.run([sys.executable, script, "--steps", "1"], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    heads = [line.split(" | ")[0] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert heads == ["| difficulty", "| plain", "| full"]
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    block = card.split("<!-- reference scores -->")[1].split("<!-- end of reference scores -->")[0]
    made = re.findall(r"^\| (plain|full) \| (0\.\d\d) \| (0\.\d\d) \| (0\.\d\d) \| (0\.\d\d) \|$",
                      block, re.MULTILINE)
    assert [row[0] for row in made] == ["plain", "full"]
    for _, mean, *each in made:
        assert abs(float(mean) - sum(map(float, each)) / 3) < 0.011
