"""Whether PyTorch is here: the tests of its room are skipped, with the reason, where it is not."""

import importlib.util

import pytest

REASON = "PyTorch and transformers are not installed: pip install 'xbarsim[torch]'"


def has_pytorch():
    """`tests/torch` itself looks like a package of that name, which has no file."""
    found = importlib.util.find_spec("torch")
    return (
        found is not None
        and found.origin is not None
        and importlib.util.find_spec("transformers") is not None
    )


def want_pytorch():
    """Skip the module that calls it where PyTorch is not here."""
    if not has_pytorch():
        pytest.skip(REASON, allow_module_level=True)
