"""Perplexity of a decoder, digital and on a chip: perplexity.py MODEL TEXT [TOKENS of a window]

MODEL is a known model (`xbarsim fetch smollm2-135m-instruct`), a directory or a GGUF file.
"""

import sys

import xbarsim

model, text = sys.argv[1:3]
window = int(sys.argv[3]) if len(sys.argv) > 3 else 512

score = xbarsim.evaluate(model, text, window=window, windows=1)
metric = score.metrics[0]
print(f"float32: {metric.value:.6f} ({metric.low:.3f} .. {metric.high:.3f})")

changes = {
    "model": {"name": model},
    "task": {"name": text, "window": window, "calibration_tokens": window},
    "case": [{"name": "chip"}],
}
path = xbarsim.run_study(xbarsim.load_study("decoder", changes), "runs")
for found in xbarsim.summarise(xbarsim.read_trace(path)).cases:
    print(f"{found.name}: {found.metric.value:.6f}")
