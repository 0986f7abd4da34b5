# Train a small transformer, letter by letter, on the language reference that comes with Python.
# Run it with `flambeau run examples/reference_text.py`; it takes half a minute.

# %% The data: 79 topics of pydoc's help; every eighth is held out.
from pydoc_data.topics import topics

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

torch.manual_seed(0)
torch.set_num_threads(1)  # products as small as these gain nothing by sharing them out
names = sorted(topics)
train_text = "".join(topics[name] for k, name in enumerate(names) if k % 8)
test_text = "".join(topics[name] for k, name in enumerate(names) if k % 8 == 0)
alphabet = sorted(set(train_text))
number = {letter: k for k, letter in enumerate(alphabet)}
train, test = (
    torch.tensor([number[letter] for letter in text if letter in number])
    for text in (train_text, test_text)
)
print(f"{len(train):,} letters to train on, {len(test):,} to test on, {len(alphabet)} different")

# %% The network: two layers of causal attention over the last 32 letters.
CONTEXT, WIDTH = 32, 64


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(len(alphabet), WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH), False)
        self.head = nn.Linear(WIDTH, len(alphabet))
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT))

    def forward(self, x):
        n = x.shape[1]
        h = self.letters(x) + self.places(torch.arange(n))
        return self.head(self.layers(h, self.mask[:n, :n], is_causal=True))


def windows(text, starts):
    """What is read from each start on, and what follows: (batch, CONTEXT) both."""
    at = starts[:, None] + torch.arange(CONTEXT)
    return text[at], text[at + 1]


model = Transformer()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.01)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

# %% Training: the rate rises for 20 steps, then falls to nothing.
steps = 240
schedule = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda step: min((step + 1) / 20, 1 - step / steps)
)
for step in range(1, steps + 1):
    x, y = windows(train, torch.randint(len(train) - CONTEXT, (16,)))
    loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    if step % 40 == 0:
        print(f"step {step:3d}  loss {loss.item():.4f}")

# %% How good is it? Beside it, what pairs of letters alone would give.
pairs = torch.ones(len(alphabet), len(alphabet))
pairs.index_put_((train[:-1], train[1:]), torch.ones(len(train) - 1), accumulate=True)
model.eval()
with torch.no_grad():
    x, y = windows(test, torch.arange(0, len(test) - CONTEXT - 1, CONTEXT)[:200])
    loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item()
    by_pairs = F.cross_entropy((pairs / pairs.sum(1, keepdim=True)).log()[x.flatten()], y.flatten())
print(f"test loss {loss:.4f} nats a letter (by pairs of letters {by_pairs.item():.4f})")

# %% What it writes.
text = train[:1][None]
with torch.no_grad():
    for _ in range(200):
        logits = model(text[:, -CONTEXT:])[:, -1]
        text = torch.cat([text, torch.multinomial((logits / 0.7).softmax(-1), 1)], 1)
print("".join(alphabet[k] for k in text[0]))
