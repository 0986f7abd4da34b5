"""Why a gradient is None, zero, or as it is.

Example:
    >>> from flambeau.magics.why import explain
    >>> x = torch.ones(3, requires_grad=True)
    >>> print(*explain(x, "x", globals(), []), sep="\\n")
"""

from .account import account
from .flow import FlowRecorder
from .standing import explain

__all__ = ["FlowRecorder", "account", "explain"]
