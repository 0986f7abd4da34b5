"""Knowledge distillation: small networks that learn from large ones.

PyTorch has no such package; names and losses are those of the papers that each one cites.
"""

from .attention import AttentionMapLoss, attention_map_loss
from .cache import TeacherCache
from .distiller import Distiller
from .features import AttentionTransferLoss, HintLoss, attention_transfer_loss, hint_loss
from .layers import evenly, keep_layers, pair_layers
from .logits import DecoupledLoss, SoftTargetLoss, decoupled_loss, soft_target_loss
from .loss import DistillationLoss
from .numbered import NumberedDataset
from .relations import ContrastiveLoss, RelationalLoss, contrastive_loss, relational_loss
from .report import Report, Share
from .sequences import SequenceLoss, TopK, sequence_loss, top_k
from .terms import Term
from .widths import shrink_units, shrink_width

__all__ = [
    "AttentionMapLoss",
    "AttentionTransferLoss",
    "ContrastiveLoss",
    "DecoupledLoss",
    "DistillationLoss",
    "Distiller",
    "HintLoss",
    "NumberedDataset",
    "RelationalLoss",
    "Report",
    "SequenceLoss",
    "Share",
    "SoftTargetLoss",
    "TeacherCache",
    "Term",
    "TopK",
    "attention_map_loss",
    "attention_transfer_loss",
    "contrastive_loss",
    "decoupled_loss",
    "evenly",
    "hint_loss",
    "keep_layers",
    "pair_layers",
    "relational_loss",
    "sequence_loss",
    "shrink_units",
    "shrink_width",
    "soft_target_loss",
    "top_k",
]
