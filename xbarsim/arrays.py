"""Arrays in files: NumPy (.npy), text (.csv) and HDF5 (.h5, .hdf5; FILE:DATASET)."""
from pathlib import Path

import numpy as np

from xbarsim.errors import ConfigError, ShapeError

SUFFIXES = (".npy", ".csv", ".h5", ".hdf5")


def read_array(name):
    """The numbers of a file as float64; of HDF5 the only data set, or the one of FILE:DATASET.

    Raises
    ------
    ConfigError : missing, of another kind, or not readable;  ShapeError : not numbers in a vector or matrix
    """
    text, _, dataset = str(name).partition(":") if not Path(name).exists() else (str(name), "", "")
    path = Path(text)
    if not path.is_file():
        raise ConfigError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: suffix {path.suffix!r} is not known; allowed: {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix == ".csv":
            array = _read_csv(path)
        else:
            array = _read_hdf5(path, dataset)
        array = np.asarray(array, dtype=np.float64)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise ConfigError(f"{path}: not an array of numbers ({error})") from None
    if array.ndim not in (1, 2):
        raise ShapeError(f"{path} has shape {array.shape}; allowed: a vector or a matrix")
    return array


def read_number_or_array(text):
    """A number as it stands, or the array of a file."""
    try:
        return float(text)
    except ValueError:
        return read_array(text)


def _read_csv(path):
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip():
            try:
                rows.append([float(cell) for cell in line.split(",")])
            except ValueError:
                raise ConfigError(f"{path}, line {number}: not numbers separated by commas: {line[:60]!r}") from None
            if len(rows[-1]) != len(rows[0]):
                raise ConfigError(f"{path}, line {number}: {len(rows[-1])} columns, the lines before have {len(rows[0])}")
    if not rows:
        raise ConfigError(f"{path}: the file is empty")
    array = np.array(rows)
    return array[:, 0] if array.shape[1] == 1 else array


def _read_hdf5(path, dataset):
    import h5py

    with h5py.File(path, "r") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        if not dataset and len(names) != 1:
            raise ConfigError(f"{path} holds {len(names)} data sets; name one as {path}:DATASET of {', '.join(names)}")
        if dataset and dataset not in names:
            raise ConfigError(f"{path} has no data set {dataset!r}; it holds {', '.join(names)}")
        return file[dataset or names[0]][:]


def write_arrays(path, arrays):
    """Write {name: (array, unit)} to one HDF5 file, or the first of them to .npy or .csv; returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(arrays.values()))[0]
    if path.suffix == ".npy":
        np.save(path, first)
    elif path.suffix == ".csv":
        np.savetxt(path, np.atleast_2d(first), delimiter=",", fmt="%.17g")
    elif path.suffix in SUFFIXES:
        import h5py

        with h5py.File(path, "w") as file:
            for name, (array, unit) in arrays.items():
                file.create_dataset(name, data=array, track_times=False).attrs["unit"] = unit
    else:
        raise ConfigError(f"{path}: suffix {path.suffix!r} is not known; allowed: {', '.join(SUFFIXES)}")
    return path
