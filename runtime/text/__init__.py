"""Models of text under Hugging Face's names: BERT, GPT-2, Llama and its relatives.

They load the local folders that people publish (`from_pretrained(path)`): nothing is downloaded.
"""

from .auto import *
from .bert import *
from .cache import StaticCache as StaticCache
from .collators import *
from .compressed import *
from .configuration import PretrainedConfig as PretrainedConfig
from .conversation import *
from .generation_options import GenerationConfig as GenerationConfig
from .gpt2 import *
from .llama import *
from .outputs import ModelOutput as ModelOutput
from .pretrained import PreTrainedModel as PreTrainedModel
from .sentences import *
from .streaming import TextStreamer as TextStreamer
from .tokenizer import *
