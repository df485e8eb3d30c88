"""Pictures that are handed over instead of written."""

import pytest

from xbarsim.report.plots import chips, circuits, devices, fits, memory, runs


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are handed to be saved."""
    figures = []

    def keep(figure, path):
        figures.append(figure)
        return path

    for module in (chips, circuits, devices, fits, memory, runs):
        monkeypatch.setattr(module, "save", keep)
    return figures
