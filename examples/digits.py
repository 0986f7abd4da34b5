# Train a small convolutional network on 1,797 real images of handwritten digits.
# Run it with `flambeau run examples/digits.py`, or paste it cell by cell into the REPL.

# %% The data: 8x8 pixels with values 0 to 16, ten classes; every fifth image is held out.
from sklearn.datasets import load_digits

import flambeau as torch
from flambeau import nn
from flambeau.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(digits.target)
held_out = torch.arange(len(images)) % 5 == 0
train = TensorDataset(images[~held_out], labels[~held_out])
test_images, test_labels = images[held_out], labels[held_out]
print(f"{len(train)} images to train on, {len(test_images)} to test on")

# %% The network: two convolutions, one normalization, one pooling, two linear layers.
model = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.Conv2d(32, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(32 * 4 * 4, 64),
    nn.ReLU(),
    nn.Dropout(0.25),
    nn.Linear(64, 10),
)
loss_function = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

# %% Training.
epochs = 15
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
for epoch in range(epochs):
    model.train()
    total = 0.0
    for x, y in DataLoader(train, batch_size=64, shuffle=True):
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    scheduler.step()
    print(f"epoch {epoch + 1:2d}  loss {total / len(train):.4f}")

# %% How good is it?
model.eval()
with torch.no_grad():
    accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()
print(f"test accuracy {accuracy:.2%}")
