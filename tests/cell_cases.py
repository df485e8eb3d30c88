"""Nonlinear cells and access devices for the tests of circuits and netlists."""

from xbarsim.circuit.cells import Polynomial, Selector, Sinh, Table, Transistor

CASES = {
    "sinh": dict(cell=Sinh(0.4)),
    "polynomial": dict(cell=Polynomial((0.2, 1.5), 2.0)),
    "table": dict(cell=Table((-2.0, -0.5, 0.0, 0.3, 2.0), (-5.0, -0.6, 0.0, 0.3, 4.0))),
    "1T1R": dict(cell=Sinh(0.5), access=Transistor(2e3, 0.8, 0.05)),
    "1S1R": dict(access=Selector(1e-5, 0.1)),
}
