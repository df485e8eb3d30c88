"""Names of the arrays that travel between rooms, by the kind of their numbers; shapes are in the
docstrings.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]  # quantities in SI units
Singles: TypeAlias = NDArray[np.float32]  # weights and activations of models
AnyFloats: TypeAlias = NDArray[np.floating[Any]]  # of either precision
Integers: TypeAlias = NDArray[np.int64]  # counts, indices, token ids
Codes: TypeAlias = NDArray[np.int32]  # integer codes of converters and function units
Bytes: TypeAlias = NDArray[np.uint8]
Keys: TypeAlias = NDArray[np.uint64]  # of counter-based random streams
Booleans: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]  # numbers of any kind
Vectors: TypeAlias = Sequence[ArrayLike] | AnyArray  # one vector, or several of any lengths
