"""Pieces of a study on the workers of a Dask cluster.

Dask schedules: every matrix of a chip is a task, and every batch of examples one that waits for the
matrices of its chip.  Matrices stay on the workers and go from one to another where they are needed; a
worker that is lost costs what lay on it, which is computed again.  Results come back to the process that
asked, which alone writes: no shared file system is needed.
"""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from xbarsim.base.errors import ConfigError, XbarsimError
from xbarsim.base.progress import Progress
from xbarsim.config.study import Study
from xbarsim.hardware.build import in_situ_steps, settings_of
from xbarsim.studies import cluster_worker
from xbarsim.studies.cluster_worker import Assignment, ChipOfCase
from xbarsim.studies.origin import Origin
from xbarsim.studies.pieces import Case
from xbarsim.studies.readers import Reading
from xbarsim.studies.trace_layout import Entries, Sources
from xbarsim.studies.trace_writer import ChipHead
from xbarsim.studies.work import Work

CONNECT_S = 30


def require_dask() -> None:
    """Refuse a machine without Dask.

    Raises
    ------
    ConfigError
    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise ConfigError(
            "--scheduler needs Dask, which is not installed: pip install 'xbarsim[cluster]'"
        ) from None


class Cluster:
    """A connection to the scheduler of a Dask cluster, for the runs of one process.

    Raises
    ------
    ConfigError : no Dask here, no scheduler there
    """

    def __init__(self, address: str) -> None:
        require_dask()
        from distributed import Client

        self.address = address
        try:
            self.client: Any = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(
                f"no Dask scheduler answers at {address} ({error}); start one with `xbarsim scheduler`"
            ) from None

    def close(self) -> None:
        """End the connection; the cluster goes on."""
        self.client.close()

    def pieces_of(
        self, study: Study, origin: Origin, sources: Sources, work: Work, progress: Progress
    ) -> "ClusterPieces":
        """See `pieces.PiecesOf`."""
        assignment = Assignment(study.to_toml(), sources, origin.facts)
        return ClusterPieces(self, assignment, work, progress)

    def submit(self, function: Any, *arguments: Any) -> Any:
        """A task; its future."""
        return self.client.submit(function, *arguments, pure=False)

    def result(self, future: Any) -> Any:
        """The result of a task, brought here."""
        with self._errors():
            return future.result()

    def wait(self, future: Any) -> None:
        """Wait for a task whose result stays where it is."""
        with self._errors():
            if future.exception() is not None:
                future.result()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from distributed import KilledWorker

        try:
            yield
        except XbarsimError:
            raise
        except KilledWorker as error:
            raise ConfigError(
                f"workers at {self.address} died again and again at one piece ({error}); they may "
                "lack memory: see their logs"
            ) from None
        except CancelledError:
            raise ConfigError(
                f"the scheduler at {self.address} is gone; what is finished is kept: go on with "
                "--resume when it is back"
            ) from None
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"a worker at {self.address} lacks a module ({error}); install the same xbarsim "
                "with its extras there"
            ) from None


@dataclass(frozen=True)
class ClusterChip:
    """A chip whose matrices lie on workers.  matrices : futures"""

    cluster: Cluster
    assignment: Assignment
    chip: ChipOfCase
    matrices: list[Any]

    @property
    def head(self) -> ChipHead:
        future = self.cluster.submit(
            cluster_worker.head_of_chip, self.assignment, self.chip, self.matrices
        )
        head: ChipHead = self.cluster.result(future)
        return head

    def evaluate(self, batches: Sequence[slice]) -> Iterator[tuple[Reading, Entries]]:
        futures = [
            self.cluster.submit(
                cluster_worker.chip_batch, self.assignment, self.chip, self.matrices, batch
            )
            for batch in batches
        ]
        while futures:
            yield self.cluster.result(futures.pop(0))


@dataclass(frozen=True)
class ClusterPieces:
    """See `pieces.Pieces`."""

    cluster: Cluster
    assignment: Assignment
    work: Work
    progress: Progress

    def reference(self, name: str, batches: Sequence[slice]) -> Iterator[Reading]:
        futures = [
            self.cluster.submit(cluster_worker.reference_batch, self.assignment, name, batch)
            for batch in batches
        ]
        while futures:
            yield self.cluster.result(futures.pop(0))

    def chip(self, case: Case, number: int, title: str) -> ClusterChip:
        graph = self.work.reader.model.graph
        steps = in_situ_steps(settings_of(case.study, graph), graph)
        chip = ChipOfCase(case.name, number)
        futures = [
            self.cluster.submit(cluster_worker.programmed_matrix, self.assignment, chip, step.name)
            for step in steps
        ]
        done = self.progress(f"{title}: matrices programmed", len(steps))
        for future in futures:
            self.cluster.wait(future)
            done(1)
        return ClusterChip(self.cluster, self.assignment, chip, futures)
