"""Tensors of safetensors files: one file, or the shards of an index."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from xbarsim.base.array_types import AnyArray, Singles
from xbarsim.base.errors import CheckpointError
from xbarsim.base.given_files import check_file, read_json

FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
WITHOUT_EXTRA = "weights of models need safetensors: pip install 'xbarsim[bert]'"


class Tensors:
    """Tensors of a checkpoint by their names in the file, each taken once.

    path, architecture : that messages name
    """

    def __init__(self, path: Path, architecture: str, tensors: dict[str, AnyArray]) -> None:
        self.path = path
        self.architecture = architecture
        self.tensors = tensors
        self.used: set[str] = set()

    def take(self, name: str, shape: tuple[int, ...], layers: int) -> Singles:
        """The float32 tensor of a name in the file.

        Raises
        ------
        CheckpointError : it is missing, of another shape, of integers, or not finite
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise CheckpointError(
                f"{self.path}: tensor {name!r} is missing, which {self.architecture} with {layers} "
                "layers needs; the weights are incomplete or belong to another config.json"
            )
        if tensor.shape != shape:
            raise CheckpointError(
                f"{self.path}: tensor {name!r} has shape {tensor.shape}, config.json asks for "
                f"{shape}; the two files do not belong together"
            )
        if tensor.dtype.kind != "f":
            raise CheckpointError(
                f"{self.path}: tensor {name!r} holds integers ({tensor.dtype}); quantised weights "
                "are not read: save the model in float32"
            )
        if not np.isfinite(tensor).all():
            raise CheckpointError(
                f"{self.path}: tensor {name!r} holds {np.count_nonzero(~np.isfinite(tensor))} "
                "values that are NaN or infinite; the file is damaged, or its training failed: "
                "fetch it again"
            )
        self.used.add(name)
        return tensor

    def unused(self) -> set[str]:
        """Names of those that nothing has taken."""
        return set(self.tensors) - self.used


def read_all_tensors(directory: Path) -> tuple[dict[str, AnyArray], str]:
    """All tensors of `model.safetensors`, or of the shards that `model.safetensors.index.json`
    names.

    Returns
    -------
    {name in the file: float32 array, or int64 as it is}, sha256 of the file (of the digests of
    several)

    Raises
    ------
    CheckpointError : a file is missing or cut, weights are there twice, or a tensor is of another
        type
    """
    _refuse_second_copy(directory)
    tensors: dict[str, AnyArray] = {}
    paths = weight_files(directory)
    for path in paths:
        of_file = _all_of(path)
        _refuse_twice(path, tensors, of_file)
        tensors |= of_file
    return tensors, _sha256_of_all([_sha256(path) for path in paths])


def _all_of(path: Path) -> dict[str, AnyArray]:
    """{name: float32 array, or int64 as it is} of one file."""
    try:
        from safetensors import SafetensorError, deserialize, safe_open
    except ImportError:
        raise CheckpointError(WITHOUT_EXTRA) from None
    tensors: dict[str, AnyArray] = {}
    check_file(path, CheckpointError)
    try:
        with safe_open(path, "np") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}
            _check_kinds(path, set(kinds.values()))
            if "BF16" in kinds.values():  # which NumPy does not have
                tensors = {
                    name: _values(**tensor) for name, tensor in deserialize(path.read_bytes())
                }
            else:
                tensors = {name: _single(file.get_tensor(name)) for name in kinds}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a complete safetensors file ({error}); fetch it again"
        ) from error
    return tensors


def _check_kinds(path: Path, kinds: set[str]) -> None:
    wrong = sorted(kinds - {*FLOATS, "BF16", "I64"})
    if wrong:
        raise CheckpointError(
            f"{path}: tensors of type {', '.join(wrong)}; supported are F32, F16 and BF16"
        )


def _single(tensor: AnyArray) -> AnyArray:
    """Floats as float32; integers as they are."""
    return np.ascontiguousarray(tensor, np.float32) if tensor.dtype.kind == "f" else tensor


def _refuse_second_copy(directory: Path) -> None:
    single = directory / "model.safetensors"
    if single.is_file() and (directory / "model.safetensors.index.json").is_file():
        raise CheckpointError(
            f"{directory} holds its weights twice, in model.safetensors and in the shards of "
            "model.safetensors.index.json; remove one of them"
        )


def _refuse_twice(path: Path, tensors: Iterable[str], of_file: Iterable[str]) -> None:
    twice = sorted(set(tensors) & set(of_file))
    if twice:
        raise CheckpointError(
            f"{path}: tensor {twice[0]!r} also stands in another file of the checkpoint"
        )


def read_safetensors(directory: str | Path) -> tuple[dict[str, Singles], str]:
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
    paths = weight_files(Path(directory))
    tensors: dict[str, Singles] = {}
    digests = []
    for path in paths:
        digests.append(_sha256(path))
        of_file = dict(_tensors(path))
        _refuse_twice(path, tensors, of_file)
        tensors |= of_file
    return tensors, _sha256_of_all(digests)


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a checkpoint: one, or the shards of its index.

    Raises
    ------
    CheckpointError : a file is missing, or only a pickle is there
    """
    single = directory / "model.safetensors"
    index = directory / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise CheckpointError(_nothing_to_read(directory))
    names = _shards_of(index)
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index}: {missing[0]} is missing; copy all shards of the checkpoint"
        )
    return [directory / name for name in names]


def _shards_of(index: Path) -> list[str]:
    """Names of the files of an index, all in its own directory."""
    try:
        content = read_json(index, CheckpointError)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{index}: not an index of safetensors files ({error})") from None
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index}: not an index of safetensors files: it has no weight_map")
    for name in places.values():
        if not isinstance(name, str) or Path(name).name != name or "\0" in name:
            raise CheckpointError(
                f"{index}: the shard {name!r} is no file of this directory; allowed: names without a "
                "path"
            )
    return sorted(set(places.values()))


def _nothing_to_read(directory: Path) -> str:
    """Why a directory without model.safetensors and without an index holds no weights."""
    if any(directory.glob("*.bin")):
        return (
            f"{directory}: only pytorch_model.bin is there, a pickle, which is not loaded; write "
            "model.safetensors once with transformers: "
            "model.save_pretrained(directory, safe_serialization=True)"
        )
    return (
        f"{directory}: neither model.safetensors nor model.safetensors.index.json is there; weights "
        "are read from safetensors (write them once with transformers: model.save_pretrained)"
    )


def _sha256_of_all(digests: list[str]) -> str:
    """The digest of one file, or that of the digests of several."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tensors(path: Path) -> Iterator[tuple[str, Singles]]:
    """(name, float32 array) of one file; integer tensors that are buffers are left out by the
    caller.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise CheckpointError(WITHOUT_EXTRA) from None
    check_file(path, CheckpointError)
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


def _float32(path: Path, name: str, data: bytes, dtype: str, shape: list[int]) -> Singles:
    if dtype != "BF16" and dtype not in FLOATS:
        raise CheckpointError(
            f"{path}: tensor {name!r} is of type {dtype}; supported are F32, F16, BF16 and F64"
        )
    values: Singles = _values(data, dtype, shape)
    if not np.isfinite(values).all():
        raise CheckpointError(f"{path}: tensor {name!r} holds NaN or infinity; the file is damaged")
    return values


def _values(data: bytes, dtype: str, shape: list[int]) -> AnyArray:
    """Numbers of a tensor: floats as float32, int64 as they are."""
    if dtype == "BF16":  # the upper half of a float32
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    if dtype == "I64":
        return np.frombuffer(data, "<i8").reshape(shape)
    return np.frombuffer(data, FLOATS[dtype]).astype(np.float32).reshape(shape)
