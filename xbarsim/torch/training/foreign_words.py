"""What transformers prints while it loads and saves: progress bars, lists of weights, its own plans."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from transformers.utils import logging


@contextlib.contextmanager
def without_foreign_words() -> Iterator[None]:
    """While it is open, transformers and peft print nothing but errors; then what they did before."""
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
