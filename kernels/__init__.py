"""Pure mathematics on arrays: Numba kernels of the circuit solver, the devices and the converters.

Arrays and floats in SI units come in, arrays and integer status codes go out.  Nothing here reads
files, prints, raises or decides: `xbarsim` validates before it calls.  Kernels import only NumPy,
Numba, math and each other.

Shapes are named in the order (t, b, m, n): tiles, batch, word lines, bit lines.  Short names in
kernels: g conductance (S), v voltage (V), i current (A), r resistance (ohm), w / u word-line /
bit-line node voltage.
"""
