"""Where time goes, by operation, source line and module, forward and backward.

Example:
    >>> from flambeau.magics.profile import profile_report, profiling
    >>> with profiling() as profiler:
    ...     net(x).sum().backward()
    >>> print(profile_report(profiler, by="line"))
"""

from .measure import Cost, Profiler, profiling
from .report import ProfileReport, profile_report

__all__ = ["Cost", "ProfileReport", "Profiler", "profile_report", "profiling"]
