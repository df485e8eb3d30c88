"""Tensors of safetensors files: one file, or the shards of an index."""

import hashlib
import json
from pathlib import Path

import numpy as np

from xbarsim.base.errors import CheckpointError

KINDS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def read_safetensors(directory):
    """All float tensors of `model.safetensors`, or of the shards that
    `model.safetensors.index.json` names.

    Parameters
    ----------
    directory : path of a Hugging Face directory

    Returns
    -------
    {name in the file: float32 array}, sha256 of the file (of the digests of several)

    Raises
    ------
    CheckpointError : a file is missing, cut or of another format; a tensor stands in two files, is
        not finite, or is of a type that is no float
    """
    paths = _files(Path(directory))
    tensors = {}
    digests = []
    for path in paths:
        digests.append(_sha256(path))
        for name, tensor in _tensors(path):
            if name in tensors:
                raise CheckpointError(
                    f"{path}: tensor {name!r} also stands in another file of the checkpoint"
                )
            tensors[name] = tensor
    if len(digests) == 1:
        return tensors, digests[0]
    return tensors, hashlib.sha256("".join(digests).encode()).hexdigest()


def _files(directory):
    single = directory / "model.safetensors"
    index = directory / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise CheckpointError(
            f"{directory}: neither model.safetensors nor model.safetensors.index.json is there; weights "
            "are read from safetensors (write them once with transformers: model.save_pretrained)"
        )
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: not an index of safetensors files ({error})") from None
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index}: {missing[0]} is missing; copy all shards of the checkpoint"
        )
    return [directory / name for name in names]


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tensors(path):
    """(name, float32 array) of one file; integer tensors that are buffers are left out by the
    caller.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise CheckpointError(
            "weights of models need safetensors: pip install 'xbarsim[bert]'"
        ) from None
    try:
        found = deserialize(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a complete safetensors file ({error}); fetch it again"
        ) from None
    for name, content in found:
        kind = content["dtype"]
        if kind == "BOOL" or kind.startswith(("I", "U")):
            continue  # masks and positions, which are no weights
        yield name, _float32(path, name, **content)


def _float32(path, name, data, dtype, shape):
    if dtype == "BF16":  # the upper half of a float32
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        values = bits.view(np.float32)
    elif dtype in KINDS:
        values = np.frombuffer(data, KINDS[dtype]).astype(np.float32)
    else:
        raise CheckpointError(
            f"{path}: tensor {name!r} is of type {dtype}; supported are F32, F16, BF16 and F64"
        )
    if not np.isfinite(values).all():
        raise CheckpointError(f"{path}: tensor {name!r} holds NaN or infinity; the file is damaged")
    return values.reshape(shape)
