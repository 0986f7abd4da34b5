# Tell malignant from benign breast tumours by 30 measurements of cell nuclei (569 patients).
# Run it with `flambeau run examples/breast_cancer.py`, or paste it cell by cell into the REPL.

# %% The data. A fifth of each class is held out before anything is computed from the rest.
from sklearn.datasets import load_breast_cancer

import flambeau as torch
from flambeau import nn
from flambeau.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
cancer = load_breast_cancer()
measurements = torch.tensor(cancer.data, dtype=torch.float32)
malignant = torch.tensor(cancer.target == list(cancer.target_names).index("malignant")).float()

is_held_out = torch.zeros(len(malignant), dtype=torch.bool)
for kind in (0, 1):
    patients = (malignant == kind).nonzero().squeeze(1)
    chosen = patients[torch.randperm(len(patients))[: len(patients) // 5]]
    is_held_out[chosen] = True
train_x, train_y = measurements[~is_held_out], malignant[~is_held_out]
test_x, test_y = measurements[is_held_out], malignant[is_held_out]
print(f"{len(train_y)} patients to train on, {int(train_y.sum())} of them malignant")
print(f"{len(test_y)} patients to test on, {int(test_y.sum())} of them malignant")

# %% Standardized by mean and spread of the training patients alone: the others are not known yet.
mean, spread = train_x.mean(0), train_x.std(0)
train_x, test_x = (train_x - mean) / spread, (test_x - mean) / spread

# %% A small network. A missed tumour weighs more than a false alarm.
model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
loss_function = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0))
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)

# %% Training.
loader = DataLoader(TensorDataset(train_x, train_y), batch_size=32, shuffle=True)
for epoch in range(1, 41):
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_function(model(x).squeeze(1), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    if epoch % 10 == 0:
        print(f"epoch {epoch:2d}  loss {total / len(train_y):.4f}")

# %% How good is it, on patients it has never seen?
model.eval()
with torch.no_grad():
    alarm = model(test_x).squeeze(1) > 0
sick = test_y == 1
sensitivity = (alarm & sick).sum() / sick.sum()
specificity = (~alarm & ~sick).sum() / (~sick).sum()
print(f"sensitivity {sensitivity:.2%} ({int((alarm & sick).sum())} of {int(sick.sum())} found)")
print(f"specificity {specificity:.2%} ({int((alarm & ~sick).sum())} false alarms)")
print(f"test accuracy {(alarm == sick).float().mean():.2%}")
