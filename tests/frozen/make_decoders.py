"""Write decoders.json: logits of the tiny decoders by the reference library.

    python -m pip install torch transformers safetensors
    python tests/frozen/make_decoders.py

`tests/models/test_decoder.py` compares our forward passes with them; neither library is needed for that.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from tiny_decoders import CONFIGS, make_tiny_decoder


def main():
    import torch
    import transformers

    rng = np.random.default_rng(1)
    ids = rng.integers(3, 96, (2, 29))
    content = {
        "made_by": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "token_ids": ids.tolist(),
        "logits_of_the_last_token": {},
        "mean_logits_by_position": {},
    }
    for family in CONFIGS:
        with tempfile.TemporaryDirectory() as directory:
            make_tiny_decoder(Path(directory), family)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                directory, attn_implementation="eager"
            ).eval()
        with torch.no_grad():
            logits = model(torch.tensor(ids)).logits.numpy().astype(float)
        content["logits_of_the_last_token"][family] = logits[:, -1].round(5).tolist()
        content["mean_logits_by_position"][family] = logits.mean(axis=2).round(6).tolist()
    (Path(__file__).parent / "decoders.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
