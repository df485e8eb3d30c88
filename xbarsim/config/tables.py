"""The strict table that every TOML file is made of."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from xbarsim.base.given_files import printable

LONGEST_NAME = 200  # characters of what results are called


def _frozen(value: object) -> object:
    if not isinstance(value, list):
        return value
    return tuple(_frozen(entry) for entry in value)


def whole(value: object) -> int:
    """Refuse what Python counts as equal to a whole number: 1.0 and true."""
    if type(value) is not int:
        raise ValueError("input should be a valid integer")
    return value


def is_plain_name(name: str) -> bool:
    """Whether a name is short and has no control characters."""
    return len(name) <= LONGEST_NAME and printable(name) == name and "\n" not in name


def _plain_name(name: str) -> str:
    if not is_plain_name(name):
        raise ValueError(f"a name has no control characters, and at most {LONGEST_NAME} characters")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]
Bits = Annotated[int, Field(ge=1, le=16)] | Literal["ideal"]
Quantile = Annotated[float, Field(gt=0.5, le=1.0)]
CodeTable = tuple[float, ...] | str  # a number for every code, or the file that holds them


class Table(BaseModel):
    """A table of a TOML file: no unknown key, no value of another type, no infinity or NaN.

    `true` is no number, and `"8"` neither.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _arrays(cls, content: object) -> object:
        """Arrays of TOML are the tuples of a frozen table."""
        if not isinstance(content, dict):
            return content
        return {key: _frozen(value) for key, value in content.items()}
