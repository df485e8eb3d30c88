"""What traces of older versions leave unsaid, in the terms of this one."""

import numpy as np
from numpy.typing import NDArray

from xbarsim.models.graph import Kind, Role
from xbarsim.studies.trace_layout import Place, Section

KINDS = {Section.LAYERS: Kind.MATRIX, Section.PRODUCTS: Kind.PRODUCT}
FUNCTION_KINDS = {
    Role.ATTENTION_SOFTMAX: Kind.SOFTMAX,
    Role.ACTIVATION: Kind.ACTIVATION,
}
ROLES = {"embeddings.norm": Role.EMBEDDINGS_NORM, "gelu": Role.ACTIVATION}  # of other names


def place_of(name: str, section: Section) -> Place:
    """Kind, role and layer of a step by its name, such as layer.0.query or embeddings.norm: until
    version 3 they were stated by nothing else, and all models were BERTs.

    Raises
    ------
    ValueError : a name that no BERT has
    """
    layer, role_name = _parts(name)
    role = ROLES.get(role_name) or Role(role_name)
    kind = KINDS.get(section) or FUNCTION_KINDS.get(role, Kind.NORM)
    return Place(kind=kind, role=role, layer=layer)


def _parts(name: str) -> tuple[int | None, str]:
    """Number of the layer, and what remains of the name."""
    if not name.startswith("layer."):
        return None, name
    _, number, role_name = name.split(".", 2)
    return int(number), role_name


def repair_errors(arrays: dict[str, NDArray[np.float64]]) -> None:
    """State the errors of version 2, which were NaN where output or reference are 0 and lacked
    error_rms, as later ones do; in place.
    """
    for kind in ("local", "accumulated"):
        _repair(arrays, kind)


def _repair(arrays: dict[str, NDArray[np.float64]], kind: str) -> None:
    signal = arrays[f"{kind}_signal_rms"]
    relative = arrays[f"{kind}_relative_rms"]
    exact = np.isnan(relative) & (signal == 0)
    arrays[f"{kind}_relative_rms"] = np.where(exact, 0.0, relative)
    arrays[f"{kind}_snr_db"] = np.where(exact, np.inf, arrays[f"{kind}_snr_db"])
    cosine = arrays[f"{kind}_cosine"]
    arrays[f"{kind}_cosine"] = np.where(np.isnan(cosine), exact.astype(float), cosine)
    unknown = (signal == 0) & ~exact
    arrays[f"{kind}_error_rms"] = np.where(
        unknown,
        arrays[f"{kind}_maximum"],
        signal * np.where(unknown, 0.0, arrays[f"{kind}_relative_rms"]),
    )
