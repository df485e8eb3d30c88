"""Device models: a conductance window, programming error, stuck cells and read noise, from a TOML file.

A file states each quantity with its unit in the key and a `source`.  Presets come with xbarsim (`device_names()`); any
path to a file of the same form works in their place.
"""
import dataclasses
import functools
import importlib.resources
import tomllib
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from xbarsim.config import describe
from xbarsim.devicefile import DeviceFile
from xbarsim.errors import ConfigError, OutOfRangeError
from xbarsim.units import MICROSIEMENS, engineering

EFFECTS = ("programming", "stuck", "read_noise")


@dataclasses.dataclass(frozen=True)
class Programmed:
    """Result of one write: conductance as asked for; cells stuck on or off; cells whose error would have taken them
    below 0 S and that were held there."""

    conductance: np.ndarray
    stuck_on: int
    stuck_off: int
    bounded: int


@dataclasses.dataclass(frozen=True)
class DeviceModel:
    """A device with the effects that are switched on; immutable."""

    name: str
    file: DeviceFile
    effects: frozenset

    @property
    def conductance_min(self):
        """Low end of the window, S."""
        return self.file.conductance.minimum_us * MICROSIEMENS

    @property
    def conductance_max(self):
        """High end of the window, S."""
        return self.file.conductance.maximum_us * MICROSIEMENS

    @property
    def read_voltage(self):
        """Volt that the largest input puts on a word line."""
        return self.file.read.voltage_v

    def with_effects(self, *names):
        """The same device with only these of its effects (`EFFECTS`); without arguments it is exact."""
        for name in names:
            if name not in EFFECTS:
                raise ConfigError(f"{name!r} is not an effect of a device; effects are {', '.join(EFFECTS)}")
        return dataclasses.replace(self, effects=self.effects & frozenset(names))

    def without(self, *names):
        """The same device without these effects."""
        self.with_effects(*names)
        return dataclasses.replace(self, effects=self.effects - frozenset(names))

    def programming_sigma(self, target, time=None):
        """Standard deviation in S of the achieved conductance, element by element of `target` (S).

        time : s after programming; the first stated time if None.  Between two stated times the standard deviation is
        linear in log(time).

        Raises
        ------
        OutOfRangeError : a time outside the stated ones, a target outside the valid range
        """
        target = np.asarray(target, float)
        self._check_target(target)
        if "programming" not in self.effects or self.file.programming is None:
            return np.zeros(target.shape)
        model = self.file.programming
        x = target * (1 / (model.scale_us * MICROSIEMENS))
        times = np.array([entry.time_s for entry in model.sigma])
        time = times[0] if time is None else time
        if not times[0] <= time <= times[-1]:
            raise OutOfRangeError(f"time after programming is {time:g} s; device {self.name} is stated from {times[0]:g} "
                                  f"to {times[-1]:g} s: choose device.time_s in this range or another device")
        later = min(int(np.searchsorted(times, time)), len(times) - 1)
        sigma = np.polynomial.polynomial.polyval(x, model.sigma[later].polynomial_us)
        if time < times[later]:
            share = np.log(times[later] / time) / np.log(times[later] / times[later - 1])
            sigma += share * (np.polynomial.polynomial.polyval(x, model.sigma[later - 1].polynomial_us) - sigma)
        return np.maximum(sigma, 0.0) * MICROSIEMENS

    def program(self, target, seed, *, time=None):
        """Write conductances.

        Parameters
        ----------
        target : (..., m, n) S, inside the valid range
        seed : numpy.random.SeedSequence; alone decides the errors
        time : s after programming, see `programming_sigma`

        Returns
        -------
        Programmed
        """
        simulated = {"description", "read", "conductance", "programming", "stuck", "read_noise"}
        if self.file.model_fields_set - simulated or self.file.programming and self.file.programming.model != "gaussian":
            raise ConfigError(f"device {self.name}: only [programming] of model gaussian, [stuck] and the relative_sigma of "
                              "[read_noise] are simulated so far; remove the other tables")
        sigma = self.programming_sigma(target, time)
        rng = np.random.Generator(np.random.PCG64(seed))
        achieved = np.array(target, float)
        bounded = stuck_on = stuck_off = 0
        if sigma.any():
            achieved += sigma * rng.standard_normal(achieved.shape)
            negative = achieved < 0
            bounded = int(np.count_nonzero(negative))
            achieved[negative] = 0.0
        if "stuck" in self.effects and self.file.stuck is not None:
            draw = rng.random(achieved.shape)
            on = draw < self.file.stuck.on_rate
            off = ~on & (draw < self.file.stuck.on_rate + self.file.stuck.off_rate)
            achieved[on], achieved[off] = self.conductance_max, self.conductance_min
            stuck_on, stuck_off = int(np.count_nonzero(on)), int(np.count_nonzero(off))
        return Programmed(achieved, stuck_on, stuck_off, bounded)

    def read_noise_sigma(self, conductance):
        """Standard deviation in S of one read, element by element of `conductance` (S)."""
        if "read_noise" not in self.effects or self.file.read_noise is None:
            return np.zeros(np.shape(conductance))
        return self.file.read_noise.relative_sigma * np.asarray(conductance)

    def _check_target(self, target):
        low, high = (bound * MICROSIEMENS for bound in self.file.conductance.valid_range_us)
        # one part in 1e9 of rounding when codes become conductances
        outside = ~((target >= low - 1e-9 * high) & (target <= high * (1 + 1e-9)))
        if outside.any():
            worst = target.ravel()[np.argmax(outside.ravel())]
            raise OutOfRangeError(f"target conductance {engineering(worst, 'S')} is outside the valid range of device "
                                  f"{self.name}, {engineering(low, 'S')} to {engineering(high, 'S')}")


def device_names():
    """Names of the devices that come with xbarsim."""
    entries = importlib.resources.files("xbarsim.data").joinpath("devices").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


@functools.cache
def load_device(name_or_path):
    """DeviceModel of a preset's name or of a device file.

    Raises
    ------
    ConfigError : unknown name, not TOML, unknown or missing key, value out of range
    """
    text = device_text(name_or_path)
    try:
        file = DeviceFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"device file {name_or_path} is not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"device file {name_or_path}: {describe(error)}") from None
    return DeviceModel(Path(name_or_path).stem if Path(name_or_path).is_file() else str(name_or_path), file,
                       frozenset(EFFECTS))


def device_text(name_or_path):
    """The TOML text of a preset or of a device file."""
    path = Path(name_or_path)
    if path.is_file():
        source = path
    elif str(name_or_path) in device_names():
        source = importlib.resources.files("xbarsim.data").joinpath("devices", f"{name_or_path}.toml")
    else:
        raise ConfigError(f"no device {str(name_or_path)!r}: it is neither a file nor one of {', '.join(device_names())}")
    try:
        return source.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"device file {name_or_path} is not readable text: {error}") from None
