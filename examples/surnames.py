# Train an LSTM, letter by letter, on 4,000 surnames, and let it make up new ones.
# Run it with `flambeau run examples/surnames.py`; the surnames are the package `names`.

# %% The data: the most frequent surnames of the United States; every tenth is held out.
from importlib import resources

import flambeau as torch
from flambeau import nn
from flambeau.nn.utils.rnn import pack_sequence
from flambeau.utils.data import DataLoader

torch.manual_seed(0)
torch.set_num_threads(1)  # products as small as these gain nothing by sharing them out
table = resources.files("names").joinpath("dist.all.last").read_text()
surnames = [line.split()[0].lower() for line in table.splitlines()[:4000]]
END = 0  # begins and ends each name; letters are 1 to 26
encoded = [torch.tensor([END, *(ord(c) - 96 for c in name), END]) for name in surnames]
train = [name for k, name in enumerate(encoded) if k % 10]
held_out = encoded[::10]
print(f"{len(train)} surnames to train on, {len(held_out)} to test on")


# %% The network reads a letter and tells how likely each letter is to come next.
class NextLetter(nn.Module):
    def __init__(self, letters=27, width=24, hidden=128):
        super().__init__()
        self.embedding = nn.Embedding(letters, width)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, letters)

    def forward(self, names, state=None):
        packed = names._replace(data=self.embedding(names.data))
        found, state = self.lstm(packed, state)
        return self.head(found.data), state


def packed_pairs(names):
    """Names without their last letter, and without their first: what is read, what comes next."""
    return tuple(
        pack_sequence([name[cut] for name in names], enforce_sorted=False)
        for cut in (slice(None, -1), slice(1, None))
    )


model = NextLetter()
loss_function = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

# %% Training, with two processes that pack the names.
epochs = 5
loader = DataLoader(train, 64, shuffle=True, num_workers=2, collate_fn=packed_pairs)
for epoch in range(1, epochs + 1):
    total = 0.0
    for read, following in loader:
        optimizer.zero_grad()
        loss = loss_function(model(read)[0], following.data)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch}  loss {total / len(loader):.4f}")

# %% How good is it? Beside it, what the letters' frequencies alone would give.
letters = torch.cat([name[1:] for name in train])
frequencies = torch.bincount(letters, minlength=27) / len(letters)
with torch.no_grad():
    read, following = packed_pairs(held_out)
    loss = loss_function(model(read)[0], following.data).item()
    plain = loss_function(frequencies.log().expand(len(following.data), -1), following.data).item()
print(f"test loss {loss:.4f} nats a letter (by frequencies alone {plain:.4f})")


# %% New names.
@torch.no_grad()
def invented(longest=12):
    name, state, letter = "", None, torch.tensor([END])
    while len(name) < longest:
        logits, state = model(pack_sequence([letter]), state)
        letter = torch.multinomial(logits[0].softmax(0), 1)
        if letter.item() == END:
            break
        name += chr(96 + letter.item())
    return name.capitalize()


print("invented:", ", ".join(invented() for _ in range(8)))
