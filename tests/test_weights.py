"""The weights that ship: whole, small, told about truly, and made by a command that runs."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from segutils import checkpoint, zoo
from segutils.augment import eval_transform
from segutils.datasets import DATA, Street
from segutils.masks import CLASSES

ROOT = Path(__file__).resolve().parents[1]
FOLDER = DATA / "weights"
FILES = sorted(FOLDER.glob("*.safetensors"))


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("weights")


def load(path):
    return zoo.load(path), checkpoint.read_weights(path)[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_network_reaches_what_its_file_says(script, path):
    assert path.stat().st_size < 8e6
    model, about = load(path)
    assert all(w.dtype == torch.float16 for w in checkpoint.read_weights(path)[0].values()
               if w.is_floating_point())
    test = Street("test", "full", transform=eval_transform(), instances=True)
    now, said = script.quality(model, test), json.loads(about["test"])
    assert now["miou"] == pytest.approx(said["miou"], abs=0.005)
    assert now["iou"] == pytest.approx(said["iou"], abs=0.01)
    assert now["ap50"] == pytest.approx(said.get("ap50", now["ap50"]), abs=0.01)
    assert list(said["iou"]) == json.loads(about["classes"]) == list(CLASSES)
    assert sum(p.stat().st_size for p in FILES) <= 40e6


class Knows(torch.nn.Module):
    """Answers with the masks it was given, as logits, `shift` pixels too far to the right."""

    def __init__(self, masks, shift=0):
        super().__init__()
        self.anchor, self.shift = torch.nn.Parameter(torch.zeros(1)), shift
        self.masks = iter(masks)

    def forward(self, image):
        ids = torch.stack([next(self.masks) for _ in image])
        ids = ids.masked_fill(ids == 255, 0).roll(self.shift, dims=-1)
        return 9.0 * torch.nn.functional.one_hot(ids, 3).permute(0, 3, 1, 2).float()


def test_quality_is_one_for_the_truth_and_less_for_a_shifted_one(script):
    """The truth scores 1 as class masks; less as instances, where objects that touch are one."""
    test = Street("test", "full", transform=eval_transform(), instances=True)
    test.stems = test.stems[:20]
    masks = [test[i][1] for i in range(20)]
    right = script.quality(Knows(masks), test)
    assert right["miou"] == 1 and set(right["iou"].values()) == {1.0}
    assert set(right["boundary_f"].values()) == set(right["by_size"].values()) == {1.0}
    assert list(right["boundary_f"]) == ["person", "car"] == list(right["ap_per_class"])
    assert 0.2 < right["ap50"] < 1
    shifted = script.quality(Knows(masks, shift=3), test)
    for name in ("miou", "ap50"):
        assert shifted[name] < right[name] - 0.1
    assert shifted["by_size"]["small"] < shifted["by_size"]["large"] < 1
    assert max(shifted["boundary_f"].values()) < 0.9


def test_each_file_has_a_recipe_and_a_line_on_the_card(script):
    files = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
    assert files == sorted(script.RECIPES)
    for name in files:
        _, about = checkpoint.read_weights(FOLDER / f"{name}.safetensors")
        assert about["command"] == f"python -m segutils train {script.RECIPES[name]}"
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == script.card(FOLDER)


def test_the_command_makes_a_file_and_the_card(script, tmp_path, capsys):
    where = ["--runs", str(tmp_path / "runs"), "--folder", str(tmp_path / "weights")]
    script.main(["unet_street", "--steps", "2", *where])
    path = tmp_path / "weights" / "unet_street.safetensors"
    assert f"{path.name}: test mIoU 0." in capsys.readouterr().out
    model, about = load(path)
    best, _ = checkpoint.read_weights(tmp_path / "runs" / "unet_street" / "best.safetensors")
    for name, weight in checkpoint.clean_names(model).items():
        assert torch.equal(weight, best[name].half().to(weight.dtype)
                           if weight.is_floating_point() else best[name])
    text = (tmp_path / "weights" / "README.md").read_text(encoding="utf-8")
    assert "| `unet_street.safetensors` | 3.9 | 32 | 0." in text and "--steps 2" in text
    assert str(tmp_path) not in text + json.dumps(about)
    assert json.loads(about["test"])["miou"] < 0.6, "two steps learn nothing"
