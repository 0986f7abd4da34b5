"""The Jupyter protocol, by its own test suite, against the kernelspec that the wheel installs."""

from __future__ import annotations

import unittest

from jupyter_kernel_test import KernelTests


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


del KernelTests  # or it would be collected as a test of no kernel at all

if __name__ == "__main__":
    unittest.main()
