"""Hashes of the files that a study names."""

from pathlib import Path

from xbarsim.arrays.in_situ.conductance_files import sha256_of_directory
from xbarsim.config.named_files import hashes_of_named
from xbarsim.config.study import Study
from xbarsim.studies.trace_layout import Sources, text_sha256


class InputHashes:
    """{what: sha256} of everything that studies name beside model and task; directories of
    conductances, which may be large, are read once.
    """

    def __init__(self) -> None:
        self._directories: dict[str, str] = {}

    def of(self, study: Study, sources: Sources) -> dict[str, str]:
        """Of device files, chip files, tables and conductances of a study.

        Raises
        ------
        ConfigError : a directory of conductances that is missing or damaged
        """
        found = {f"device {name}": text_sha256(text) for name, text in sources.devices.items()}
        found |= {f"chip {name}": text_sha256(text) for name, text in sources.chips.items()}
        found |= hashes_of_named(study)
        for name in study.conductance_directories():
            found[f"conductances {name}"] = self._of_directory(name)
        return found

    def _of_directory(self, name: str) -> str:
        if name not in self._directories:
            self._directories[name] = sha256_of_directory(Path(name))
        return self._directories[name]
