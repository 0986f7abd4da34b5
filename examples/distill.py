# Teach a network an eighth of its teacher's size, without labels (1,797 images of digits).
# Run it with `flambeau run examples/distill.py`, or paste it cell by cell into the REPL.

# %% The data: 8x8 pixels with values 0 to 16, ten classes; every fifth image is held out.
from sklearn.datasets import load_digits

import flambeau as torch
from flambeau import distillation, nn
from flambeau.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(digits.target)
held_out = torch.arange(len(images)) % 5 == 0
train_images, train_labels = images[~held_out], labels[~held_out]


# %% One network in two widths, and one loop for all: what is minimized is `loss_of(batch)`.
def network(width):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(width * 16, 2 * width),
        nn.ReLU(),
        nn.Linear(2 * width, 10),
    )


def train(model, loss_of, *tensors, steps):
    loader = DataLoader(TensorDataset(*tensors), batch_size=64, shuffle=True)
    epochs = steps // len(loader)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    model.train()
    for _ in range(epochs):
        for batch in loader:
            optimizer.zero_grad()
            loss_of(*batch).backward()
            optimizer.step()
        scheduler.step()


def accuracy(model):
    model.eval()
    with torch.no_grad():
        return (model(images[held_out]).argmax(1) == labels[held_out]).float().mean().item()


def by_labels(model):
    return lambda x, y: nn.functional.cross_entropy(model(x), y)


# %% The teacher, from all labels.
teacher = network(32)
train(teacher, by_labels(teacher), train_images, train_labels, steps=200)
size = sum(p.numel() for p in teacher.parameters())
print(
    f"teacher, {size:,} parameters, {len(train_labels):,} labels: accuracy {accuracy(teacher):.2%}"
)

# %% A small network by itself, from 100 labels.
few = torch.randperm(len(train_labels))[:100]
alone = network(11)
train(alone, by_labels(alone), train_images[few], train_labels[few], steps=200)
size = sum(p.numel() for p in alone.parameters())
print(f"alone, {size:,} parameters, 100 labels: accuracy {accuracy(alone):.2%}")

# %% The same one, from what the teacher says of all images: no label is read.
student = network(11)
soft_targets = distillation.SoftTargetLoss(temperature=3.0)
distiller = distillation.Distiller(teacher, student, distillation.Term(soft_targets))
train(distiller, distiller, train_images, steps=260)
print(distiller.report())
print(f"taught, {size:,} parameters, no label: accuracy {accuracy(student):.2%}")
