"""What gradients are, by parameter and by backward node, and what they tell.

Example:
    >>> from flambeau.magics.trace import trace_report, tracing
    >>> with tracing() as trace:
    ...     net(x).sum().backward()
    >>> print(trace_report(trace, {id(p): name for name, p in net.named_parameters()}))
"""

from .report import TraceReport, trace_report
from .sampling import SampledTrace
from .watch import GradientTrace, tracing

__all__ = ["GradientTrace", "SampledTrace", "TraceReport", "trace_report", "tracing"]
