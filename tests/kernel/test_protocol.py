"""The Jupyter protocol, by its own test suite, against the kernelspec that the wheel installs."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import Any

from jupyter_kernel_test import KernelTests

from .conftest import PATIENCE


def is_of(message: dict[str, Any], request: str, kind: str) -> bool:
    """Whether it is the reply to the request, or says that the kernel is idle after it."""
    found = message["content"].get("execution_state", "reply")
    return bool(message["parent_header"].get("msg_id") == request and found == kind)


def patient(get_msg: Callable[..., Any]) -> Callable[..., Any]:
    """The suite gives messages 0.1 s to come, which a busy machine may take."""
    return lambda timeout=None: get_msg(timeout=PATIENCE)


class TestProtocol(KernelTests):  # type: ignore[misc]
    kernel_name = "flambeau"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('no')"
    code_execute_result = [  # noqa: RUF012 - what the suite reads
        {"code": "6*7", "result": "42"},
        {"code": "1+2+3", "result": "6"},
        {"code": "torch.ones(2)", "result": "tensor([1., 1.])"},
    ]
    code_display_data = [  # noqa: RUF012
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))",
            "mime": "text/html",
        },
        {
            "code": "%graph torch.ones(1, requires_grad=True).exp()",
            "mime": "image/svg+xml",
        },
    ]
    completion_samples = [  # noqa: RUF012
        {"text": "zi", "matches": {"zip"}},
        {"text": "torch.logs", "matches": {".logspace", ".logsumexp"}},
    ]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]  # noqa: RUF012
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]  # noqa: RUF012
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for channel in (cls.kc.shell_channel, cls.kc.iopub_channel):
            channel.get_msg = patient(channel.get_msg)

    def flush_channels(self) -> None:
        """Take all that earlier requests have caused: what one more causes comes after it."""
        last = self.kc.kernel_info()
        for channel, kind in ((self.kc.shell_channel, "reply"), (self.kc.iopub_channel, "idle")):
            while not is_of(channel.get_msg(), last, kind):
                pass


del KernelTests  # or it would be collected as a test of no kernel at all

if __name__ == "__main__":
    unittest.main()
