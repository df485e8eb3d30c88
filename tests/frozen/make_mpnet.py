"""Write mpnet.json: hidden states of the tiny MPNet by the reference library.

    python -m pip install torch transformers safetensors tokenizers
    python tests/frozen/make_mpnet.py

`tests/models/test_bert.py` compares our forward pass with them; neither library is needed for that.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from tiny import VOCABULARY, make_tiny_mpnet


def main():
    import torch
    import transformers

    rng = np.random.default_rng(1)
    sentences = [rng.integers(5, len(VOCABULARY), length).tolist() for length in (5, 200)]
    with tempfile.TemporaryDirectory() as directory:
        make_tiny_mpnet(Path(directory))
        model = transformers.MPNetModel.from_pretrained(directory).eval()
    hidden = []
    with torch.no_grad():
        for sentence in sentences:
            states = model(torch.tensor([sentence])).last_hidden_state[0].numpy()
            hidden.append([[round(float(value), 6) for value in row] for row in states])
    content = {
        "made_by": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "token_ids": sentences,
        "first_and_last_hidden_states": [[rows[0], rows[-1]] for rows in hidden],
        "mean_of_all": [np.mean(rows, axis=0).round(6).tolist() for rows in hidden],
    }
    (Path(__file__).parent / "mpnet.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
