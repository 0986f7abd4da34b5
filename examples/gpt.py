# A GPT from nothing: learn the words of Python's language reference, then its sentences, and write.
# Run it with `flambeau run examples/gpt.py`; it takes 15 seconds, and wants the extra `text`.
# A number behind the name, as in `gpt.py 2000`, is how many steps to take; they make better prose.

# %% The data: 79 topics of pydoc's help; every eighth is held out.
import math
import sys
from pydoc_data.topics import topics

import flambeau as torch
from flambeau import text

torch.manual_seed(0)
torch.set_num_threads(1)  # products as small as these gain nothing by sharing them out
names = sorted(topics)
train_texts = [topics[name] for k, name in enumerate(names) if k % 8]
test_texts = [topics[name] for k, name in enumerate(names) if k % 8 == 0]

# %% Its words: pieces that are frequent, joined from bytes, so that any text can be written.
tokenizer = text.Tokenizer.train(train_texts, vocab_size=512)
CONTEXT = 64


def pieces_of(texts):
    """The texts end to end, cut into rows of CONTEXT tokens."""
    tokens = [tokenizer(t).input_ids for t in texts]
    return torch.stack(list(text.pack(tokens, CONTEXT, end=tokenizer.eos_token_id)))


train, test = pieces_of(train_texts), pieces_of(test_texts)
print(f"{train.numel():,} tokens to train on, {test.numel():,} to test on: {tokenizer}")

# %% The network.
config = text.GPT2Config(
    vocab_size=len(tokenizer), n_positions=256, n_embd=96, n_layer=2, n_head=4,
    initializer_range=0.1, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
)  # fmt: skip
model = text.GPT2LMHeadModel(config)
print(f"{model.num_parameters():,} parameters")

# %% Training: the rate rises for 20 steps, then falls along a cosine.
steps = int(sys.argv[1]) if sys.argv[1:] else 150
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.05)
schedule = torch.optim.lr_scheduler.LambdaLR(
    optimizer,
    lambda step: min((step + 1) / 20, 0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2),
)
model.train()
for step in range(1, steps + 1):
    rows = train[torch.randint(len(train), (16,))]
    loss = model(rows, labels=rows).loss
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    if step % 25 == 0:
        print(f"step {step:4d}  loss {loss.item():.3f}")

# %% How good is it? Beside it, what the frequencies of the tokens alone would give.
model.eval()
with torch.no_grad():
    loss = model(test, labels=test).loss.item()
    counts = torch.bincount(train.flatten(), minlength=len(tokenizer)) + 1.0
    alone = -(counts / counts.sum()).log()[test[:, 1:]].mean().item()
print(f"test loss {loss:.3f} nats a token (by frequencies {alone:.3f})")

# %% What it writes, as it writes it.
prompt = tokenizer("The function", return_tensors="pt")
out = model.generate(
    **prompt, max_new_tokens=120, do_sample=True, temperature=0.8, top_k=40,
    streamer=text.TextStreamer(tokenizer),
)  # fmt: skip
