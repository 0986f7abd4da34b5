"""`torch.utils.tensorboard`: event files that TensorBoard shows, written without it."""

from .writer import SummaryWriter

__all__ = ["SummaryWriter"]
