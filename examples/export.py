# Train a network on handwritten digits and take it along: to servers, phones and browsers.
# Needs the packages of the extras examples and onnx, and onnxruntime. Run it with
# `flambeau run examples/export.py`; the files come into the folder `exported`.

# %% The data and the network, smaller than in digits.py.
from pathlib import Path

from sklearn.datasets import load_digits

import flambeau as torch
from flambeau import nn

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(digits.target)
held_out = torch.arange(len(images)) % 5 == 0
x, y = images[~held_out], labels[~held_out]
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.25),
    nn.Linear(512, 10),
)

# %% Training.
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _epoch in range(5):
    for rows in torch.randperm(len(x)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()

# %% One file for everything that runs ONNX; the number of images stays open.
folder = Path("exported")
folder.mkdir(exist_ok=True)
program = torch.onnx.export(
    model, (images[:1],), folder / "digits.onnx", dynamic_axes={"input": {0: "batch"}}
)
print(program)

# %% onnxruntime gives what the model gives.
model.eval()
with torch.no_grad():
    ours = model(images[held_out])
theirs = program(images[held_out])
print(f"largest difference {(ours - theirs).abs().max().item():.1e}")
print(f"test accuracy {(theirs.argmax(1) == labels[held_out]).float().mean().item():.2%}")

# %% For phones: weights in int8, and the format that needs no parser.
small = torch.onnx.quantized(program)
torch.onnx.save_ort(small, folder / "digits.ort")
print(f"int8 {(small(images[held_out]).argmax(1) == labels[held_out]).float().mean().item():.2%}")
for path in sorted(folder.iterdir()):
    print(f"{path.name}: {path.stat().st_size:,} bytes")

# %% For browsers: one page to draw on. Its runtime comes by `npm install onnxruntime-web`.
runtime = Path("node_modules/onnxruntime-web")
if runtime.exists():
    names = [str(k) for k in range(10)]
    page = folder / "digits.html"
    torch.onnx.web_page(program, page, runtime=runtime, title="Digits", labels=names)
    print(f"open {page}")
