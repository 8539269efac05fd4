"""The measurements run and print their tables; no test looks at a time."""

import ast
import importlib
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import browser
import cv2
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a script of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


@pytest.fixture
def quick(benchmark, capsys):
    """What a benchmark prints; it runs in this process, which has imported torch already."""
    threads = torch.get_num_threads(), cv2.getNumThreads()

    def run(name, *arguments):
        benchmark(name).main([*arguments])
        text = capsys.readouterr().out
        assert str(ROOT) not in text
        return text

    yield run
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


def test_each_script_ends_with_its_main():
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        last = ast.parse(path.read_text(encoding="utf-8")).body[-1]
        assert ast.unparse(last.test) == "__name__ == '__main__'", path.name
        assert "main()" in ast.unparse(last), path.name


def test_data_quick(quick):
    text = quick("data", "--quick", "--size", "48")
    rows = re.findall(r"^  (\S.*?) +(\d+) +\d+-\d+ +(\d+\.\d\d)$", text, re.MULTILINE)
    names = [name for name, *_ in rows]
    assert len(rows) == 12 and names[2:4] == ["albumentations", "torchvision"]
    assert names[-3:] == ["0 workers", "1 workers", "2 workers"]
    assert all(int(rate) > 0 for _, rate, _ in rows)
    assert "cores" in text


def test_the_card_has_a_reference_score_for_each_difficulty(quick):
    """One step of the recipe runs; the card holds the table of the whole, whose means add up."""
    text = quick("reference", "--steps", "1")
    heads = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert heads == ["| difficulty", "| plain", "| full"]
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    block = card.split("<!-- reference scores -->")[1].split("<!-- end of reference scores -->")[0]
    made = re.findall(r"^\| (plain|full) \| (0\.\d\d) \| (0\.\d\d) \| (0\.\d\d) \| (0\.\d\d) \|$",
                      block, re.MULTILINE)
    assert [row[0] for row in made] == ["plain", "full"]
    for _, mean, *each in made:
        assert abs(float(mean) - sum(map(float, each)) / 3) < 0.011


def test_train_quick(quick):
    text = quick("train", "--quick")
    for name in ("the lesson's U-Net and recipe", "UNet(width=32, depth=4), usual recipe"):
        late = rf"^  {re.escape(name)} +at least 0\.6 +1-1 +0 of 1 +-$"   # of 0.99
        assert re.search(late, text, re.MULTILINE)
    for head in ("A step on 2x3x64x64, fp32", "A step on 2x3x64x64, as fit", "Our own step on",
                 "6 steps of the lesson's U-Net", "Logits 2x21x64x64: argmax"):
        assert f"\n{head}" in text
    row = r"^  (UNet\(.*\)), (?:fp32|bf16) +\d+\.\d +\S+ +(\d+\.\d\d) "  # the network, its GFLOP
    work = re.findall(row, text, re.MULTILINE)
    assert len(work) == 4 and work[:2] == work[2:]
    assert re.search(r"^  fit +\d+\.\d +\S+ +[+-]\d+\.\d %", text, re.MULTILINE)
    for peer, row in (("segmentation_models_pytorch", "smp Unet"), ("monai", "MONAI BasicUNet")):
        assert (row in text) == (find_spec(peer) is not None)
    missing = not all(map(find_spec, ("segmentation_models_pytorch", "monai")))
    assert ("peers are missing: uv run --extra bench" in text) == missing


def test_a_run_that_does_not_get_there_counts_as_the_cap(benchmark, capsys):
    train = benchmark("train")

    def run(seconds):
        watch = train.Watch([0.8], cap=900)
        watch.first = {0.8: seconds} if seconds else {}
        return watch

    train.score_table(0.8, {"ours": [run(70), run(50), run(60)],
                            "one late": [run(0), run(90), run(120)],
                            "two late": [run(0), run(90), run(0)],
                            "even": [run(90), run(0)]}, 900)
    rows = [re.split(r"  +", line.strip()) for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [["ours", "60.0", "50-70", "3 of 3", "1.00"],
                    ["one late", "120.0", "90-900", "2 of 3", "2.00"],
                    ["two late", "at least 900.0", "90-900", "1 of 3", "at least 15.00"],
                    ["even", "at least 495.0", "90-900", "1 of 2", "at least 8.25"]]
    train.score_table(0.8, {"ours": [run(0)], "other": [run(90)]}, 900)
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:]] == ["-", "-"]


def test_a_watch_ends_a_run_at_its_last_target_or_at_the_cap(benchmark, monkeypatch):
    train = benchmark("train")
    now = iter([0.0, 10.0, 50.0, 60.0, 70.0, 80.0, 0.0, 100.0])
    monkeypatch.setattr(train.time, "perf_counter", lambda: next(now))
    pauses = []
    watch = train.Watch([0.8, 0.85], cap=100, pause=lambda: pauses.append("others train"))
    watch(0.81)                                      # at 10; at 50 it is its turn again
    watch(0.79)
    with pytest.raises(train.Enough):
        watch(0.9)                                   # after 10, 10 and 10 seconds of its own
    assert watch.first == {0.8: 10.0, 0.85: 30.0} and watch.best == 0.9 and len(pauses) == 2
    late = train.Watch([0.8], cap=100)
    with pytest.raises(train.Enough):
        late(0.9)                                    # at the cap is too late
    assert late.first == {}


def test_runs_take_turns_until_each_has_left(benchmark):
    """Three runs of 3, 1 and 2 epochs: nobody trains out of turn, nobody waits for who is done."""
    train = benchmark("train")
    turns, epochs = train.Turns(3), []

    def run(place, count):
        turns.wait(place)
        for epoch in range(count):
            epochs.append(place)
            if epoch < count - 1:
                turns.hand_on(place)
        turns.leave(place)

    with train.ThreadPoolExecutor(3) as pool:
        for started in [pool.submit(run, *run_of) for run_of in ((2, 2), (0, 3), (1, 1))]:
            started.result(timeout=60)
    assert epochs == [0, 1, 2, 0, 2, 0]


def test_operations_are_those_of_forward_and_backward(benchmark):
    """A 1x1 convolution, 3 to 3 channels: 9 products a pixel, and again for its weights."""
    train = benchmark("train")
    batch = torch.randn(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    assert train.flops(torch.nn.Conv2d(3, 3, 1), batch) == 2 * (2 * 9 * 2 * 8 * 8)


def test_a_bare_loop_ends_with_the_weights_of_fit(benchmark):
    """So the two do the same work."""
    train = benchmark("train")
    batches = [train.a_batch(quick=True)] * 2
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        nets.append(train.UNet(width=4, depth=1))
    train.bare_loop(nets[0], batches, 6, None)
    train.fit(nets[1], batches, None, train.LOSS, steps=6, lr=train.LR, amp=False, device="cpu",
              progress=False)
    for bare, fitted in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(bare, fitted)


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_explorer_quick():
    """As a process of its own, as people start it: a browser is driven best outside of pytest."""
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "explorer.py", "--quick"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert str(ROOT) not in text
    steps = re.findall(r"^  (ours|JPEG|matplotlib) +(\d+\.\d) +(\d+\.\d) +(\d+\.\d) +(\d+)$", text,
                       re.MULTILINE)
    assert [name for name, *_ in steps] == ["ours", "JPEG", "matplotlib"]
    assert all(float(median) <= float(worst) for _, median, worst, *_ in steps)
    assert all(int(sent) > 0 for *_, sent in steps)
    assert float(steps[0][3]) == 1.0
    frames = re.findall(r"^  (opacity|wipe|pan) +\d+\.\d +\d+\.\d +\d+\.\d$", text, re.MULTILINE)
    assert frames == ["opacity", "wipe", "pan"]
    assert "2 steps each" in text and "load at the end" in text


LOSSES = ["cross_entropy", "dice_loss", "ce_dice", "jaccard_loss", "lovasz_softmax"]


def test_losses_quick(quick, tmp_path):
    scores = tmp_path / "losses.json"
    text = quick("losses", "--quick", "--json", str(scores))
    cell = r" +(0\.\d{3}) \(0\.\d\d-0\.\d\d\)"
    rows = re.findall(rf"^  (\w+){cell * 4}$", text, re.MULTILINE)
    assert [name for name, *_ in rows] == LOSSES
    assert len({tuple(numbers) for _, *numbers in rows}) > 1     # not one loss under five names
    for _, mean, *each in rows:
        assert abs(float(mean) - sum(map(float, each)) / 3) < 0.002
    assert not scores.exists()


def test_losses_write_what_lesson_05_reads(benchmark, monkeypatch, tmp_path, capsys):
    losses = benchmark("losses")

    def canned(loss, seed, given):
        car = 0.5 + 0.1 * LOSSES.index(loss.__name__) - 0.05 * seed
        return {"seed": seed, "miou": car, "iou": {"background": 0.9, "person": 0.4, "car": car}}

    monkeypatch.setattr(losses, "train_and_score", canned)
    path = tmp_path / "losses.json"
    losses.main(["--steps", "7", "--seeds", "3", "--json", str(path)])
    text = path.read_text(encoding="utf-8")
    found = json.loads(text)
    assert str(tmp_path) not in text and str(ROOT) not in text
    assert (found["steps"], found["seeds"], found["split"]) == (7, [0, 1, 2], "test")
    assert list(found["scores"]) == LOSSES and "torch" in found["versions"]
    assert [run["seed"] for run in found["scores"]["dice_loss"]] == [0, 1, 2]
    assert found["scores"]["dice_loss"][0]["iou"]["car"] == 0.6
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "  dice_loss" in line)
    assert row.split()[1:3] == ["0.550", "(0.50-0.60)"]


GPU_ROWS = ["fp32, contiguous, DataLoader of 0 workers", "+ held and augmented on the device",
            "+ channels last", "+ bf16", "+ torch.compile"]


def test_gpu_quick_on_the_cpu(quick):
    text = quick("gpu", "--quick", "--device", "cpu")
    assert "on cpu: UNet(width=4, depth=4), 32 x 32 pixels, batches of 2" in text
    number = r" +(\d+\.\d+)"
    roofs = re.findall(rf"^  (fp32|bf16)(?: \(ieee\))?{number * 7}$", text, re.MULTILINE)
    assert [name for name, *_ in roofs] == ["fp32", "bf16"]
    lowest = {}
    for name, rate, work, compute, bandwidth, moved, memory, roof in roofs:
        rate, work, compute, bandwidth, moved, memory, roof = map(
            float, (rate, work, compute, bandwidth, moved, memory, roof))
        assert rate / work == pytest.approx(compute, rel=0.05)
        assert bandwidth / moved == pytest.approx(memory, rel=0.05)
        lowest[name] = roof
        assert roof == min(compute, memory)
    rows = re.findall(rf"^  +(\S.*?){number} +[\d.]+-[\d.]+{number * 3}$", text, re.MULTILINE)
    assert [name for name, *_ in rows] == GPU_ROWS
    first = float(rows[0][1])
    for name, rate, ratio, roof, share in rows:
        half = name in ("+ bf16", "+ torch.compile")
        assert float(roof) == lowest["bf16" if half else "fp32"]
        assert float(rate) / first == pytest.approx(float(ratio), abs=0.02)
        assert float(rate) / float(roof) == pytest.approx(float(share), abs=0.002)
    alone = r"^  held, augmented on the device +\d+\.\d +\S+ +\d+\.\d\d$"
    assert re.search(alone, text, re.MULTILINE)


def test_bytes_and_operations_of_a_tiny_convolution(benchmark):
    """3 to 4 channels on 8x8: 192 values in, 256 out, and 27 products for each that comes out."""
    gpu = benchmark("gpu")
    picture = torch.empty(1, 3, 8, 8, device="meta")

    def conv(channels):
        return torch.nn.Conv2d(channels, 4, 3, padding=1, device="meta")

    alone = conv(3)
    assert gpu.values_moved(alone, picture) == 2 * (192 + 256)      # no gradient of the picture
    assert gpu.flops_of(alone, picture) == 2 * (2 * 27 * 256)
    two = torch.nn.Sequential(conv(3), conv(4))                     # 36 products for each
    assert gpu.values_moved(two, picture) == 2 * (192 + 256) + 3 * (256 + 256)
    assert gpu.flops_of(two, picture) == 2 * (2 * 27 * 256) + 3 * (2 * 36 * 256)
    more = torch.nn.Sequential(conv(3), torch.nn.BatchNorm2d(4, device="meta"), torch.nn.ReLU(),
                               torch.nn.MaxPool2d(2), torch.nn.Identity())
    assert gpu.values_moved(more, picture) == (
        2 * (192 + 256) + 3 * (256 + 256) + 2 * (256 + 64))         # ReLU and Identity: nothing


def test_work_of_the_unet_is_that_of_its_layers(benchmark):
    """Of a picture, whatever the batch; from the shapes of UNet(width=2, depth=4) on 16x16."""
    gpu = benchmark("gpu")
    with torch.device("meta"):
        model, picture = gpu.UNet(width=2, depth=4), torch.empty(2, 3, 32, 32)
    flops, values = gpu.work_of_a_picture(2, 32)
    assert 2 * flops == gpu.flops_of(model, picture)
    products = moved = 0
    double = lambda c_in, c, n: (9 * (c_in * c + c * c) * n,  # noqa: E731  two 3x3 convolutions
                                 (c_in + c + 3 * 2 * c) * n)  # and what they and their norms move
    shape = [(2 * 2**level, (32 // 2**level) ** 2) for level in range(5)]
    for level, (c, n) in enumerate(shape):
        p, m = double(shape[level - 1][0] if level else 3, c, n)
        products, moved = products + 3 * p, moved + 3 * m
        if level:                                    # pooled, and the way up from this level
            above, large = shape[level - 1]
            moved += 2 * (above * large + above * n)
            products += 3 * c * above * large        # each new pixel: one product a channel
            moved += 3 * (c * n + above * large)
            p, m = double(2 * above, above, large)
            products, moved = products + 3 * p, moved + 3 * m
    products += 3 * 2 * 3 * 32**2                    # the head: 2 channels to 3 classes
    moved += 3 * (2 + 3) * 32**2
    products -= 9 * 3 * 2 * 32**2                    # the picture needs no gradient
    moved -= (3 + 2) * 32**2
    assert (flops, values) == (2 * products, moved)


def test_the_roof_is_the_lower_of_two(benchmark):
    gpu = benchmark("gpu")
    roof = gpu.Roof(rate=1e12, bandwidth=1e9, flops=10**9, moved=10**7)
    assert (roof.by_compute, roof.by_memory, roof.pictures) == (1000, 100, 100)
    assert gpu.Roof(1e10, 1e9, 10**9, 10**7).pictures == 10


def test_a_compiler_that_fails_costs_a_row_and_not_the_run(benchmark, capsys):
    gpu = benchmark("gpu")

    def broken():
        raise RuntimeError("no C++ compiler\nlong story")

    assert not gpu.works("  + torch.compile", gpu.Job(broken, torch.float32))
    assert capsys.readouterr().out == (
        "\ntorch.compile does not work here: RuntimeError: no C++ compiler\n")
    assert gpu.works("  + torch.compile", gpu.Job(lambda: None, torch.float32))


def test_a_step_trains(benchmark, monkeypatch):
    """Either way of taking it lowers the loss on a batch, in its own precision and format."""
    gpu = benchmark("gpu")
    given = gpu.parse(["--quick"])
    given.device = torch.device("cpu")
    torch.manual_seed(1)
    image, target = torch.randn(2, 3, 32, 32), torch.randint(3, (2, 32, 32))
    loss, net, losses, seen = gpu.ce_dice, gpu.UNet, [], set()

    def watched(logits, target):
        losses.append(loss(logits, target))
        return losses[-1]

    class Watched(net):
        def forward(self, x):
            logits = super().forward(x)
            seen.add((logits.dtype, x.is_contiguous(memory_format=torch.channels_last)))
            return logits

    monkeypatch.setattr(gpu, "ce_dice", watched)
    monkeypatch.setattr(gpu, "UNet", Watched)
    for how, expected in (({}, (torch.float32, False)),
                          ({"channels_last": True, "amp": torch.bfloat16}, (torch.bfloat16, True))):
        losses.clear(), seen.clear()
        step = gpu.make_step(given, **how)
        for _ in range(12):
            step(image, target)
        assert losses[-1] < losses[0] and seen == {expected}


def test_compare_quick(quick):
    """Each network that ships has its two lines, the first the ratio 1; nothing is written.

    Short runs over seeds that were written before are printed again, a line each.
    """
    before = sorted(path.name for path in (ROOT / "data" / "weights").iterdir())
    text = quick("compare", "--quick")
    names = [path.stem.removesuffix("_street")
             for path in (ROOT / "data" / "weights").glob("*_street.safetensors")]
    kept = json.loads((ROOT / "data" / "weights" / "scores.json").read_text(encoding="utf-8"))
    for name in names:
        scores, cost, *short = re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)
        assert len(short) == (name in kept["seeds"]["miou"])
        assert all(re.fullmatch(r"0\.\d{3} \(0\.\d{3}-0\.\d{3}\)", line) for line in short)
        assert all(0 <= float(score) <= 1 for score in scores.split())
        ratio, *_, step_ratio, _, minutes, _ = cost.split()[-7:]
        assert float(ratio) > 0 and float(step_ratio) > 0 and int(minutes) > 0
    assert re.search(r"^unet .*\s1\.00\s", text, re.MULTILINE)
    (first,) = re.findall(r"^unet .* (\S+) +\d+ +[\d,]+$", text, re.MULTILINE)  # peak MB
    assert float(first) > 0 if sys.platform == "linux" else first
    assert sorted(path.name for path in (ROOT / "data" / "weights").iterdir()) == before


def test_short_runs_are_told_apart_by_seed(benchmark, monkeypatch, tmp_path):
    """Each cheap network once with each seed, in a folder of its own; its last row counts."""
    compare, asked = benchmark("compare"), []

    def run(options):
        asked.append(options)
        return SimpleNamespace(rows=[{"miou": 0.1}, {"miou": 0.5 + 0.01 * options.seed}])

    monkeypatch.setattr(compare.train_command, "run", run)
    found = compare.short_runs(SimpleNamespace(quick=False, steps=7, seeds=3, runs=tmp_path))
    assert found == {"steps": 7, "split": "val", "seeds": [0, 1, 2],
                     "miou": dict.fromkeys(("unet", "fcn", "deeplab"), [0.5, 0.51, 0.52])}
    assert len({one.out for one in asked}) == 9
    assert {(one.model, one.steps) for one in asked} == {("unet", 7), ("fcn", 7), ("deeplab", 7)}
