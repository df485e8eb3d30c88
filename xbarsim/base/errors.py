"""Exceptions of xbarsim.  A message names the value with its unit, the allowed range and the
remedy.
"""


class XbarsimError(Exception):
    """Base of every error that xbarsim raises on purpose."""


class ConfigError(XbarsimError, ValueError):
    """A study, device, chip or component file, or a flag, that cannot be used as it is."""


class ShapeError(XbarsimError, ValueError):
    """An array of the wrong shape or kind."""


class OutOfRangeError(XbarsimError, ValueError):
    """A value outside its physical or stated valid range (NaN and infinities included)."""


class ValidRangeWarning(UserWarning):
    """A condition outside the range for which a device file states its values, where the study
    asked for a warning; or one that the statistical model of a crossbar does not cover."""


class IdleSettingWarning(UserWarning):
    """A setting of a study that has no effect in any of its cases."""


class DamageWarning(UserWarning):
    """A file of the cache that is not as it was written; what it held is computed again."""


class ConvergenceError(XbarsimError, RuntimeError):
    """A solver that stopped short of its tolerance.

    Attributes
    ----------
    iterate : the last iterate (whatever the solver returns on success)
    residual : float, the last residual in the solver's own unit
    iterations : int
    """

    def __init__(
        self,
        message: str,
        *,
        iterate: object = None,
        residual: float = float("nan"),
        iterations: int = 0,
    ) -> None:
        super().__init__(message)
        self.iterate = iterate
        self.residual = residual
        self.iterations = iterations


class TraceError(XbarsimError):
    """A trace that is missing, truncated, foreign or of another version."""


class CheckpointError(XbarsimError):
    """A checkpoint or tokenizer that is missing, incomplete or of an unsupported architecture."""


class TaskError(XbarsimError):
    """A labelled task file that cannot be read."""


class FetchError(XbarsimError):
    """A named model or task that could not be brought here."""


class OutputError(XbarsimError):
    """A result that cannot be written: no space, no permission, not a directory."""
