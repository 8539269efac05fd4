"""Files of weights and state: whole, checked, plain, and never half of anything."""

import errno
import os
import random
import resource
import warnings

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import nn

from segutils import checkpoint
from segutils.checkpoint import (
    CheckpointError,
    load_state,
    load_weights,
    newest_state,
    read_weights,
    save_state,
    save_weights,
)


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


STATE = {
    "step": 7, "rows": [{"miou": 0.5, "name": "a"}], "plan": None, "ok": True,
    "model": {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)},
}


def one_line(error, path):
    text = str(error.value)
    assert "\n" not in text and str(path) in text and len(text) < 300
    return text


@pytest.fixture(params=["state", "weights"])
def kind(request, tmp_path):
    """A file of each kind, how to read it, and how to write it again."""
    if request.param == "state":
        path = tmp_path / "step-000000007.state"
        read, write = load_state, lambda: save_state(path, STATE)
    else:
        path, model = tmp_path / "w.safetensors", small()
        read, write = read_weights, lambda: save_weights(path, model, {"step": 7})
    write()
    return path, read, write


# -- what is written comes back


def test_a_state_comes_back(tmp_path):
    save_state(tmp_path / "deep" / "s.state", STATE)
    back = load_state(tmp_path / "deep" / "s.state")
    assert back.keys() == STATE.keys()
    assert [back[k] for k in ("step", "rows", "plan", "ok")] == [7, STATE["rows"], None, True]
    assert all(torch.equal(back["model"][k], v) for k, v in STATE["model"].items())


def test_weights_come_back_and_any_tool_can_read_them(tmp_path):
    path, model = tmp_path / "w.safetensors", small().to(memory_format=torch.channels_last)
    tricky = {"note": checkpoint.BLANK, "sums": f'"sha256":"{checkpoint.BLANK}"', "step": 3}
    save_weights(path, model, tricky)
    fresh = small()
    nn.init.zeros_(fresh[0].weight)
    metadata = load_weights(fresh, path)
    assert metadata == {k: str(v) for k, v in tricky.items()}
    for name, tensor in model.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(model.state_dict())
        assert len(file.metadata()["sha256"]) == 64
    everywhere = safetensors.torch.load_file(path)
    assert torch.equal(everywhere["0.weight"], model[0].weight)


def test_half_precision_halves_the_file_and_loads_into_a_float_model(tmp_path):
    model = nn.Conv2d(64, 64, 3)
    save_weights(tmp_path / "full", model)
    save_weights(tmp_path / "half", model, dtype=torch.float16)
    assert (tmp_path / "half").stat().st_size < 0.52 * (tmp_path / "full").stat().st_size
    fresh = nn.Conv2d(64, 64, 3)
    load_weights(fresh, tmp_path / "half")
    assert fresh.weight.dtype == torch.float32
    assert torch.equal(fresh.weight, model.weight.half().float())


def test_batch_norm_counts_stay_integers_in_half_precision(tmp_path):
    save_weights(tmp_path / "half", small(), dtype=torch.float16)
    assert read_weights(tmp_path / "half")[0]["1.num_batches_tracked"].dtype == torch.int64


# -- damage is seen


def test_every_one_of_200_flipped_bits_is_seen(kind):
    path, read, _ = kind
    whole, dice = path.read_bytes(), random.Random(1)
    places = dice.sample(range(8 * len(whole)), 200)
    for place in places:
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError) as error:
            read(path)
        one_line(error, path)


def test_flipped_bits_of_the_header_are_seen(kind):
    path, read, _ = kind
    whole = path.read_bytes()
    for place in [*range(8 * 48), *range(8 * 48, 8 * 400, 7)]:
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            read(path)


def test_a_file_cut_short_anywhere_is_refused(kind):
    path, read, _ = kind
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 9, 15, 16, 47, 48, 49, *range(60, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as error:
            read(path)
        one_line(error, path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError):
        read(path)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + b"0" * 200, b"{}", b"\xff" * 64])
def test_another_kind_of_file_is_refused(kind, data):
    path, read, _ = kind
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as error:
        read(path)
    assert ("empty" if not data else "not a") in one_line(error, path)


def test_a_plain_torch_or_safetensors_file_is_refused(tmp_path):
    torch.save(STATE, tmp_path / "s.state")
    with pytest.raises(CheckpointError, match="not a state"):
        load_state(tmp_path / "s.state")
    tensors = {"w": torch.zeros(2)}
    safetensors.torch.save_file(tensors, tmp_path / "bare", {"a": "b"})
    with pytest.raises(CheckpointError, match="no checksum"):
        read_weights(tmp_path / "bare")


def test_a_missing_file_and_a_folder_are_named(kind, tmp_path):
    _, read, _ = kind
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CheckpointError) as error:
            read(path)
        assert "check the path" in one_line(error, path)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_state_is_executed(tmp_path):
    save_state(tmp_path / "s.state", {"x": Bomb(str(tmp_path / "boom"))})
    with pytest.raises(CheckpointError, match="plain types"):
        load_state(tmp_path / "s.state")
    assert not (tmp_path / "boom").exists()


# -- a write that fails leaves what was there


def full(path, mode):
    return open("/dev/full", mode)


def read_only(path, mode):
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("broken", [full, read_only])
def test_a_full_or_read_only_disk_leaves_the_old_file_whole(kind, monkeypatch, broken):
    path, read, write = kind
    before = path.read_bytes()
    monkeypatch.setattr(checkpoint, "open", broken, raising=False)
    with pytest.raises(CheckpointError) as error:
        write()
    assert "whole" in one_line(error, path) and "space" in str(error.value)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]
    read(path)


def test_a_file_size_limit_leaves_the_old_file_whole(kind):
    path, read, write = kind
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(CheckpointError) as error:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    one_line(error, path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failure_at_any_stage_leaves_the_old_file_whole(kind, monkeypatch, name):
    path, read, write = kind
    before = path.read_bytes()

    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, name, fails)
    with pytest.raises(CheckpointError, match="Input/output error"):
        write()
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_bytes_are_on_the_disk_before_the_name_is(kind, monkeypatch):
    """File synced, then moved into place, then the folder synced: no other order is safe."""
    path, _, write = kind
    calls, fsync, replace = [], os.fsync, os.replace

    def synced(handle):
        there = os.fstat(handle)
        calls.append("folder" if os.path.samestat(there, path.parent.stat()) else there.st_size)
        fsync(handle)

    def replaced(source, target):
        calls.append("replace")
        assert os.path.dirname(source) == os.path.dirname(target)   # one file system
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write()
    assert calls == [path.stat().st_size, "replace", "folder"]


# -- which weights fit which model


def wrapped(model):
    yield model
    yield torch.compile(model)
    yield nn.DataParallel(model)
    yield torch.compile(nn.DataParallel(model))
    yield nn.DataParallel(torch.compile(model))


def test_wrappers_leave_no_trace_in_the_names(tmp_path):
    model, names = small(), set(small().state_dict())
    for number, outer in enumerate(wrapped(model)):
        save_weights(tmp_path / f"{number}", outer)
        assert set(read_weights(tmp_path / f"{number}")[0]) == names
        assert checkpoint.unwrap(outer) is model
        for inner in wrapped(small()):
            nn.init.zeros_(checkpoint.unwrap(inner)[0].weight)
            load_weights(inner, tmp_path / f"{number}")
            assert torch.equal(checkpoint.unwrap(inner)[0].weight, model[0].weight)


def test_a_compiled_part_of_a_model_is_found(tmp_path):
    model = small()
    save_weights(tmp_path / "w", model)
    partly = small()
    partly[0] = torch.compile(partly[0])
    nn.init.zeros_(partly[0].weight)
    load_weights(partly, tmp_path / "w")
    assert torch.equal(partly[0].weight, model[0].weight)


def test_a_part_that_is_called_module_keeps_its_name():
    model = nn.ModuleDict({"module": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    assert "module.weight" in checkpoint.clean_names(model)


def test_other_names_and_shapes_are_refused_by_name(tmp_path):
    save_weights(tmp_path / "w", small())
    other = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Identity(), nn.Conv2d(5, 2, 1), nn.Conv2d(2, 2, 1))
    before = other[0].weight.clone()
    with pytest.raises(CheckpointError) as error:
        load_weights(other, tmp_path / "w")
    text = one_line(error, tmp_path / "w") if len(str(error.value)) < 300 else str(error.value)
    assert "missing 3.weight" in text and "0.bias is (4,) in the file, (5,) in the model" in text
    assert "more" in text and "\n" not in text and torch.equal(other[0].weight, before)
    save_weights(tmp_path / "w", nn.Conv2d(1, 1, 1))
    with pytest.raises(CheckpointError, match="unknown bias; unknown weight"):
        load_weights(nn.Identity(), tmp_path / "w")


# -- a folder of states


def fill(folder, steps):
    for step in steps:
        save_state(checkpoint.state_path(folder, step), {"step": step})


def test_the_newest_whole_state_is_found(tmp_path):
    assert newest_state(tmp_path) is None and newest_state(tmp_path / "nowhere") is None
    fill(tmp_path, [9, 100, 20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert newest_state(tmp_path)["step"] == 100
    damaged = checkpoint.state_path(tmp_path, 100)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="step-000000100.state.*the state before it"):
        assert newest_state(tmp_path)["step"] == 20
    for path in checkpoint.states(tmp_path):
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="none of its 3 states"):
        newest_state(tmp_path)


def test_pruning_keeps_the_two_newest_and_no_half_written_file(tmp_path):
    fill(tmp_path, [1, 2, 3, 10])
    (tmp_path / ".step-000000011.state.123.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    checkpoint.prune(tmp_path)
    names = {"step-000000010.state", "step-000000003.state", "notes.txt"}
    assert set(os.listdir(tmp_path)) == names
