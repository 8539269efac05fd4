"""Files that a run can be taken up from: nothing half-written, nothing damaged, nothing executed.

Weights are safetensors files that any tool reads; the state of a run is a `torch.save` of plain
types behind a header. Both carry a SHA-256 over the whole file, so no flipped bit passes. Both
are written to a temporary file, synced and moved into place, so a reader sees the old file or
the new one, whatever moment the power goes. Lesson 05.
"""

import hashlib
import io
import json
import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

MAGIC = b"segutils state 1"          # 16 bytes, then the SHA-256 of what follows them both
HEADER = len(MAGIC) + hashlib.sha256().digest_size
BLANK = "0" * 64                     # stands in for a weights file's checksum while it is counted
KEEP = 2                             # states kept: the newest, and one to fall back on


class CheckpointError(RuntimeError):
    """A file that cannot be used or written; the message names it and says what to do."""


def save_state(path: str | Path, state: dict) -> None:
    """Write a state of plain types (tensors, numbers, strings, lists, dicts) to one file.

    Atomic: a crash leaves the old file or the new one. Raises `CheckpointError` when the disk is
    full or read-only, with the old file whole. Lesson 05.
    """
    body = io.BytesIO()
    torch.save(state, body)
    data = body.getvalue()
    write_atomic(path, MAGIC + hashlib.sha256(data).digest() + data)


def load_state(path: str | Path, device: str | torch.device = "cpu") -> dict:
    """Read what `save_state` wrote; only plain types are ever unpickled.

    Raises `CheckpointError`, naming the file and the cure, where it is missing, empty, cut
    short, damaged by as much as a bit, or another kind of file.
    """
    data = _read(path)
    if data[: len(MAGIC)] != MAGIC:
        raise CheckpointError(f"{path}: not a state that fit wrote, or damaged; {_CURE}")
    body = data[HEADER:]
    if hashlib.sha256(body).digest() != data[len(MAGIC) : HEADER]:
        raise CheckpointError(f"{path}: damaged or cut short, its checksum differs; {_CURE}")
    try:
        return torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(f"{path}: holds more than plain types, which is not read; "
                              "use a state that save_state wrote") from None


_CURE = "restore it from a copy, or delete it"


def state_path(folder: str | Path, step: int) -> Path:
    """Where the state after so many steps lies."""
    return Path(folder) / f"step-{step:09d}.state"


def states(folder: str | Path) -> list[Path]:
    """The states of a run's folder, newest first."""
    return sorted(Path(folder).glob("step-*.state"), reverse=True)


def prune(folder: str | Path, keep: int = KEEP) -> None:
    """Delete all but the `keep` newest states, and what a killed run left half-written."""
    for path in [*states(folder)[keep:], *Path(folder).glob(".*.tmp")]:
        path.unlink(missing_ok=True)


def newest_state(folder: str | Path, device: str | torch.device = "cpu") -> dict | None:
    """The newest state of a folder that is whole; None where there is no state.

    A damaged one is passed over with a warning that names it. Raises `CheckpointError` where
    there are states and none is whole.
    """
    found = states(folder)
    for path in found:
        try:
            return load_state(path, device)
        except CheckpointError as error:
            warnings.warn(f"{error}; trying the state before it", stacklevel=2)
    if found:
        raise CheckpointError(
            f"{folder}: none of its {len(found)} states is whole; restore one from a copy, "
            "or start over with resume=False"
        )
    return None


def save_weights(path: str | Path, model: nn.Module | Mapping[str, Tensor],
                 metadata: Mapping[str, str] | None = None,
                 dtype: torch.dtype | None = None) -> None:
    """Write a model's weights as safetensors, with a checksum and your own metadata (strings).

    `dtype=torch.float16` halves the file. Names lose what `torch.compile` and data-parallel
    wrappers put in front of them. Atomic, and raises as `save_state` does. Lesson 05.
    """
    weights = {name: _plain(tensor, dtype) for name, tensor in clean_names(model).items()}
    metadata = {k: str(v) for k, v in (metadata or {}).items()} | {"sha256": BLANK}
    data = safetensors.torch.save(weights, metadata)
    digest = hashlib.sha256(data).hexdigest()   # of the file with a blank in the digest's place
    write_atomic(path, data.replace(_slot(BLANK), _slot(digest), 1))


def _slot(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def _plain(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    return tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file that `save_weights` wrote, its checksum verified.

    Raises `CheckpointError` as `load_state` does, and for a safetensors file without checksum.
    """
    data = _read(path)
    metadata = read_metadata(data, path)
    digest = metadata.pop("sha256", None)
    if digest is None:
        raise CheckpointError(
            f"{path}: holds no checksum, so damage would go unseen; write it with save_weights")
    blank = data.replace(_slot(digest), _slot(BLANK), 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise CheckpointError(f"{path}: damaged, its checksum differs; {_CURE}")
    try:
        return safetensors.torch.load(data), metadata
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error}); {_CURE}") from None


def read_metadata(data: bytes, path: str | Path) -> dict[str, str]:
    """The metadata in the header of a safetensors file (8 bytes of length, then JSON)."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return dict(header["__metadata__"])
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{path}: not a safetensors file with metadata, or damaged; {_CURE}") from None


def load_weights(model: nn.Module, path: str | Path) -> dict[str, str]:
    """Load a file of weights into the model, strictly, and return the file's metadata.

    Half-precision weights take on the model's dtype. Raises `CheckpointError` as `read_weights`
    does, and where names or shapes do not match, naming them. Lesson 05.
    """
    weights, metadata = read_weights(path)
    load_into(model, weights, path)
    return metadata


def load_into(model: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Load weights by their clean names into the model, wrapped or not, or raise."""
    own, given = clean_names(model), clean_names(weights)
    wrong = [f"missing {name}" for name in own.keys() - given.keys()]
    wrong += [f"unknown {name}" for name in given.keys() - own.keys()]
    wrong += [
        f"{name} is {tuple(given[name].shape)} in the file, {tuple(own[name].shape)} in the model"
        for name in own.keys() & given.keys() if own[name].shape != given[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 6} more" if len(wrong) > 6 else ""
        raise CheckpointError(
            f"{source}: does not fit this {type(model).__name__}: "
            f"{'; '.join(sorted(wrong)[:6])}{more}; build the model as it was saved"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])


def clean_names(model: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names they had before `torch.compile` or data-parallel wrapped the model."""
    named = model.state_dict() if isinstance(model, nn.Module) else model
    clean = {name.replace("_orig_mod.", ""): tensor for name, tensor in named.items()}
    while clean and all(name.startswith("module.") for name in clean):
        clean = {name.removeprefix("module."): tensor for name, tensor in clean.items()}
    if len(clean) != len(named):
        raise CheckpointError("two weights have one name once '_orig_mod.' is taken off")
    return clean


def unwrap(model: nn.Module) -> nn.Module:
    """The model itself, without what `torch.compile` and data-parallel put around it."""
    while hasattr(model, "_orig_mod") or type(model).__name__.endswith("DataParallel"):
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module
    return model


def write_atomic(path: str | Path, data: bytes) -> None:
    """Put `data` at `path` so that at any moment the old file or the new one lies there whole.

    Raises `CheckpointError`, the old file untouched, when the disk is full or read-only.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())          # the bytes are on the disk before the name is
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise CheckpointError(
            f"{path}: could not be written ({error.strerror or error}); what was there before "
            "is whole; free some space, or choose a folder that can be written"
        ) from error


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":                      # Windows cannot open a folder, and needs no sync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:                          # a read-only disk: then it was never written either
        pass


def _read(path: str | Path) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not data:
        raise CheckpointError(f"{path}: is empty; {_CURE}")
    return data
