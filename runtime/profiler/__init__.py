"""`torch.profiler`: where the time of a program goes, with PyTorch's interface."""

from .averages import EventList, FunctionEventAvg
from .nvtx_ranges import emit_nvtx
from .profiler import (
    kineto_available,
    profile,
    record_function,
    supported_activities,
    tensorboard_trace_handler,
)
from .recording import Event, Recorder
from .schedule import ProfilerAction, ProfilerActivity, schedule

__all__ = [
    "Event",
    "EventList",
    "FunctionEventAvg",
    "ProfilerAction",
    "ProfilerActivity",
    "Recorder",
    "emit_nvtx",
    "kineto_available",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]
