"""`torch.export`: models traced into graphs of operations, with sizes that stay open."""

from .files import load as load
from .files import save as save
from .program import ExportedProgram as ExportedProgram
from .program import ExportGraphSignature as ExportGraphSignature
from .program import export as export
from .reading import TracerWarning as TracerWarning
from .recording import ExportError as ExportError
from .sizes import Dim as Dim
from .sizes import dims as dims

__all__ = [
    "Dim", "ExportError", "ExportGraphSignature", "ExportedProgram", "TracerWarning", "dims",
    "export", "load", "save",
]  # fmt: skip
