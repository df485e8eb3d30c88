"""A convolutional network in the manner of torchvision on a chip: `python pytorch_cnn.py`."""

import torch
from torch import nn

from xbarsim.torch import convert, set_ranges


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Linear(8 * 4 * 4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


torch.manual_seed(0)
images = torch.randn(400, 1, 8, 8)
images[::2, :, 2:6, 2:6] += 1.0  # a square in every other one
labels = torch.arange(400) % 2
model = Cnn()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(30):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images[:200]), labels[:200]).backward()
    optimizer.step()

study = {"device": {"name": "rram-wan2022"}, "adc": {"bits": 5}, "mapping": {"word_lines": 64}}
analog = convert(model.eval(), study, images[:32])
set_ranges(analog, [images[:100]])
with torch.no_grad():
    for name, network in (("float32", model), ("chip", analog)):
        right = network(images[200:]).argmax(dim=1) == labels[200:]
        print(f"accuracy in {name}: {float(right.float().mean()):.3f}")
