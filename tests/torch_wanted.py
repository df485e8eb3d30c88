"""Whether PyTorch is here: the tests of its room are skipped, with the reason, where it is not."""

import importlib.util

import pytest

REASON = "PyTorch and transformers are not installed: pip install 'xbarsim[torch]'"


def has_pytorch():
    """Both packages; neither is imported."""
    wanted = ("torch", "transformers")
    return all(importlib.util.find_spec(name) is not None for name in wanted)


def want_pytorch():
    """Skip the module that calls it where PyTorch is not here."""
    if not has_pytorch():
        pytest.skip(REASON, allow_module_level=True)
