"""A vision transformer on a chip, attention too, with gradients: `python pytorch_vit.py`."""

import torch
from transformers import ViTConfig, ViTForImageClassification

from xbarsim.torch import convert, to_trace

torch.manual_seed(0)
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
config = ViTConfig(image_size=16, patch_size=4, intermediate_size=64, num_labels=3, **sizes)
model = ViTForImageClassification(config).eval()
images = torch.randn(6, 3, 16, 16)
labels = torch.tensor([0, 1, 2, 0, 1, 2])

study = {
    "name": "vit",
    "mapping": {"word_lines": 32, "bit_lines": 32},
    "products": {"attention": "in_situ"},
    "functions": {"softmax": {"unit": "table"}},
}
analog = convert(model, study, images, exclude=["classifier"])
matrices, products = len(analog.hardware.matrices), len(analog.hardware.products)
print(f"matrices on the chip: {matrices}")
print(f"products of attention on the chip: {products}")

loss = torch.nn.functional.cross_entropy(analog(images).logits, labels)
loss.backward()
gradient = analog.model.vit.layers[0].attention.q_proj.weight.grad
print(f"gradient of a query matrix: {float(gradient.norm()):.6f}")
print(f"trace: {to_trace(analog, [(images, labels)], 'runs')}")
