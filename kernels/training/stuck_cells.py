"""Weights on pairs of cells some of which are stuck, and stuck cells at places drawn anew."""

from xbarsim.kernels._jit import jit

# States of a cell.
FREE = 0
ON = 1
OFF = 2


@jit
def stuck_weights(weight, state, scale, on, off, found):
    """What weights become on their cells.

    weight, found : (outputs, inputs) float32
    state : (2, outputs, inputs), of the positive and the negative cells
    scale : weight at the end of the window; larger ones are held there
    on, off : where stuck cells sit in the window, 0 to 1
    """
    outputs, inputs = weight.shape
    for i in range(outputs):
        for j in range(inputs):
            share = min(max(weight[i, j] / scale, -1.0), 1.0)
            positive = max(share, 0.0)
            negative = max(-share, 0.0)
            if state[0, i, j] == ON:
                positive = on
            elif state[0, i, j] == OFF:
                positive = off
            if state[1, i, j] == ON:
                negative = on
            elif state[1, i, j] == OFF:
                negative = off
            found[i, j] = scale * (positive - negative)


@jit
def scatter(on, off, uniform, places, state):
    """Draw places for the stuck cells of every column, without putting two at one.

    on, off : (outputs,) how many of each
    uniform : (sum of both,) numbers in [0, 1), used column by column
    places : (2 * inputs,) whole numbers, of no meaning before and after
    state : (2, outputs, inputs), written
    """
    _, outputs, inputs = state.shape
    cells = 2 * inputs
    used = 0
    for i in range(outputs):
        for place in range(cells):
            places[place] = place
        for j in range(inputs):
            state[0, i, j] = FREE
            state[1, i, j] = FREE
        for k in range(on[i] + off[i]):
            other = k + int(uniform[used] * (cells - k))
            used += 1
            chosen = places[other]
            places[other] = places[k]
            state[chosen // inputs, i, chosen % inputs] = ON if k < on[i] else OFF
