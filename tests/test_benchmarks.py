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
