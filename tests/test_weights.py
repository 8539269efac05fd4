"""The weights that ship: whole, small, told about truly, and made by a command that runs."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from segutils import checkpoint, zoo
from segutils.augment import eval_transform
from segutils.datasets import DATA, Street, loader
from segutils.masks import CLASSES
from segutils.train import evaluate

ROOT = Path(__file__).resolve().parents[1]
FOLDER = DATA / "weights"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("weights")


def load(path):
    return zoo.load(path), checkpoint.read_weights(path)[1]


def test_the_unet_reaches_what_its_file_says():
    path = FOLDER / "unet_street.safetensors"
    assert path.stat().st_size < 8e6
    model, about = load(path)
    assert all(w.dtype == torch.float16 for w in checkpoint.read_weights(path)[0].values()
               if w.is_floating_point())
    test = Street("test", "full", transform=eval_transform())
    matrix = evaluate(model, loader(test, 25), CLASSES)
    said = json.loads(about["test"])
    assert matrix.miou() == pytest.approx(said["miou"], abs=0.005)
    assert matrix.iou().tolist() == pytest.approx(list(said["iou"].values()), abs=0.01)
    assert list(said["iou"]) == json.loads(about["classes"]) == list(CLASSES)


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
