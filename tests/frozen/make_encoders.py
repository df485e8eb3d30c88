"""Write encoders.json: hidden states and logits of the tiny encoders by the reference library.

    python -m pip install torch transformers safetensors tokenizers
    python tests/frozen/make_encoders.py

`tests/models/test_encoders.py` compares our forward passes with them; neither library is needed for that.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from tiny_encoders import CONFIGS, make_tiny_encoder


def load(family):
    """The classifier by the reference library, which must find every tensor and need no other."""
    import transformers

    with tempfile.TemporaryDirectory() as directory:
        make_tiny_encoder(Path(directory), family)
        model, found = transformers.AutoModelForSequenceClassification.from_pretrained(
            directory, output_loading_info=True
        )
    wrong = {key: value for key, value in found.items() if value}
    if wrong:
        raise SystemExit(f"{family}: {wrong}")
    return model.eval()


def main():
    import torch
    import transformers

    rng = np.random.default_rng(1)
    sentences = [rng.integers(5, 40, length).tolist() for length in (7, 60)]
    content = {
        "made_by": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "token_ids": sentences,
        "first_and_last_hidden_states": {},
        "mean_of_all": {},
        "logits": {},
    }
    for family in CONFIGS:
        model = load(family)
        ends, means, logits = [], [], []
        with torch.no_grad():
            for sentence in sentences:
                ids = torch.tensor([sentence])
                states = model.base_model(ids).last_hidden_state[0].numpy().astype(float)
                ends.append(states[[0, -1]].round(6).tolist())
                means.append(states.mean(axis=0).round(6).tolist())
                logits.append(model(ids).logits[0].numpy().astype(float).round(6).tolist())
        content["first_and_last_hidden_states"][family] = ends
        content["mean_of_all"][family] = means
        content["logits"][family] = logits
    (Path(__file__).parent / "encoders.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
