# The same small network in 32 and in 8 bits: weights alone, after calibration, after training.
# Run it with `flambeau run examples/quantized_digits.py`, or paste it cell by cell into the REPL.

# %% The data: 1,797 images of handwritten digits; every fifth is held out.
import copy
import os

from sklearn.datasets import load_digits

import flambeau as torch
from flambeau import nn
from flambeau.ao import quantization

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(digits.target)
held_out = torch.arange(len(images)) % 5 == 0
train_images, train_labels = images[~held_out], labels[~held_out]
test_images, test_labels = images[held_out], labels[held_out]


# %% The network. QuantWrapper marks where numbers become codes and where codes become numbers.
def network() -> nn.Module:
    return quantization.QuantWrapper(
        nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10),
        )
    )  # fmt: skip


def fit(model: nn.Module, epochs: int, rate: float) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(train_images)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(train_images[batch]), train_labels[batch])
            loss.backward()
            optimizer.step()


def report(name: str, model: nn.Module) -> None:
    model.eval()
    with torch.no_grad():
        accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()
    torch.save(model.state_dict(), "digits.pt")
    size = os.path.getsize("digits.pt") / 1024
    print(f"{name:34} accuracy {accuracy:.2%}  file {size:6.1f} KiB")


model = network()
fit(model, 12, 3e-3)
report("float32", model)

# %% Weights of 8 bits in the linear layers, one line.
small = copy.deepcopy(model)
quantization.quantize_(small, quantization.Int8WeightOnlyConfig())
report("8-bit weights of linear layers", small)

# %% Calibration: a few batches tell the ranges of activations, then all layers compute in 8 bits.
LAYERS = [["module.0", "module.1", "module.2"], ["module.3", "module.4"], ["module.7", "module.8"]]
model.eval()
model.qconfig = quantization.get_default_qconfig("x86")
prepared = quantization.prepare(quantization.fuse_modules(model, LAYERS))
with torch.no_grad():
    for batch in train_images[:512].split(64):
        prepared(batch)
report("8 bits after calibration", quantization.convert(prepared))

# %% Training with rounded values, for where calibration alone costs accuracy.
model.train()
model.qconfig = quantization.get_default_qat_qconfig("x86")
trained = quantization.prepare_qat(quantization.fuse_modules_qat(model, LAYERS))
fit(trained, 2, 3e-4)
report("8 bits after training", quantization.convert(trained.eval()))
os.remove("digits.pt")
