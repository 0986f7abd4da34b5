"""What jupyter_kernel_test does not ask: receipts, comms, debugger, subshells, floods, forks."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from flambeau.kernel.streams import MOST_UNSENT, PIECE

from .conftest import PATIENCE, LiveKernel


def control(kernel: LiveKernel, kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request on the control channel."""
    client = kernel.client
    message = client.session.msg(kind, content)
    client.control_channel.send(message)
    while True:
        reply = client.get_control_msg(timeout=PATIENCE)
        if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return dict(reply["content"])


def reply_message(kernel: LiveKernel, identity: str) -> dict[str, Any]:
    while True:
        message = kernel.client.get_shell_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") == identity:
            return dict(message)


def test_the_reply_carries_a_receipt(kernel: LiveKernel) -> None:
    identity = kernel.send("(torch.ones(3, requires_grad=True) * 2).sum().backward()")
    receipt = reply_message(kernel, identity)["metadata"]["flambeau"]["receipt"]
    assert receipt["time"] > 0
    assert receipt["graph"] >= 2
    assert receipt["nan"] is False
    kernel.run("1")
    silent = kernel.send("2", silent=True)
    assert "flambeau" not in reply_message(kernel, silent)["metadata"]


def test_the_kernel_tells_its_protocol_and_features(kernel: LiveKernel) -> None:
    info = kernel.reply(kernel.client.kernel_info())
    assert tuple(map(int, info["protocol_version"].split("."))) >= (5, 4)
    assert info["implementation"] == "flambeau"
    assert {"kernel subshells", "debugger"} <= set(info["supported_features"])


def test_completions_carry_types_and_shapes(kernel: LiveKernel) -> None:
    kernel.run("typed_tensor = torch.ones(2, 7)")
    content = kernel.reply(kernel.client.complete("typed_ten"))
    assert content["matches"] == ["typed_tensor"]
    assert (content["cursor_start"], content["cursor_end"]) == (0, 9)
    (found,) = content["metadata"]["_jupyter_types_experimental"]
    assert (found["type"], found["signature"]) == ("instance", "Tensor (2, 7) float32 cpu")


def test_inspection_tells_of_a_live_tensor(kernel: LiveKernel) -> None:
    kernel.run("inspected = torch.arange(4.0)")
    content = kernel.reply(kernel.client.inspect("inspected.sum()", cursor_pos=4))
    assert content["found"]
    assert "0 to 3, mean 1.5" in content["data"]["text/plain"]
    assert not kernel.reply(kernel.client.inspect("nothing_like_it"))["found"]


def test_user_expressions_are_evaluated(kernel: LiveKernel) -> None:
    kernel.client.execute("a = 20")
    identity = kernel.send("a += 1", user_expressions={"twice": "2 * a", "bad": "1 / 0"})
    values = kernel.reply(identity)["user_expressions"]
    assert values["twice"]["data"]["text/plain"] == "42"
    assert values["bad"]["ename"] == "ZeroDivisionError"


def test_an_error_aborts_what_waits_unless_told_otherwise(kernel: LiveKernel) -> None:
    slow = "import time; time.sleep(0.5); 1 / 0"
    first, second = kernel.send(slow), kernel.send("aborted = True")
    assert kernel.reply(first)["status"] == "error"
    assert kernel.reply(second)["status"] == "aborted"
    first = kernel.send(slow, stop_on_error=False)
    second = kernel.send("not_aborted = True")
    kernel.reply(first)
    assert kernel.reply(second)["status"] == "ok"


def test_top_level_await_and_its_interrupt(kernel: LiveKernel) -> None:
    found = kernel.run("import asyncio\nawait asyncio.sleep(0.01)\n'awaited'")
    assert found.text == "'awaited'"
    identity = kernel.send("print('waits'); await asyncio.sleep(600)")
    kernel.wait_for_output(identity, "waits")
    kernel.manager.interrupt_kernel()
    found = kernel.outcome(identity)
    assert found.error is not None
    assert found.error["ename"] == found.reply["ename"] == "KeyboardInterrupt"
    assert kernel.run("1 + 1").text == "2"


def test_the_debugger_begins_at_the_users_line(kernel: LiveKernel) -> None:
    code = "def f(x):\n    factor = 3\n    return x @ torch.ones(factor)\nf(torch.ones(2))"
    assert kernel.run(code).error is not None
    identity = kernel.send("%debug", allow_stdin=True)
    for command in ("p factor * 100", "q"):
        question = kernel.client.get_stdin_msg(timeout=PATIENCE)
        kernel.client.input(command)
        assert question["content"]["prompt"].startswith("ipdb>")
    assert "300" in kernel.outcome(identity).stdout


def test_the_kernel_reports_its_usage(kernel: LiveKernel) -> None:
    usage = control(kernel, "usage_request", {})
    assert usage["kernel_memory"] > 1e6
    assert usage["pid"] == kernel.manager.provisioner.process.pid


def is_end(message: dict[str, Any], identity: str) -> bool:
    idle = message["content"].get("execution_state") == "idle"
    return bool(idle and message["parent_header"].get("msg_id") == identity)


COMM = """
def opened(comm, message):
    comm.on_msg(lambda m: comm.send({"echo": m["content"]["data"]}))
get_ipython().kernel.comm_manager.register_target("echo", opened)
"""


def test_comms_answer(kernel: LiveKernel) -> None:
    kernel.run(COMM)
    client = kernel.client
    opening = {"comm_id": "c1", "target_name": "echo", "data": {}}
    opened = client.session.msg("comm_open", opening)
    client.shell_channel.send(opened)
    while not is_end(client.get_iopub_msg(timeout=PATIENCE), opened["header"]["msg_id"]):
        pass
    client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": "c1", "data": {"n": 5}}))
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "comm_msg":
            break
    assert message["content"]["data"] == {"echo": {"n": 5}}


def subshell_request(
    kernel: LiveKernel, subshell: str, kind: str, content: dict[str, Any]
) -> dict[str, Any]:
    client = kernel.client
    message = client.session.msg(kind, content)
    message["header"]["subshell_id"] = subshell
    client.shell_channel.send(message)
    return kernel.reply(message["header"]["msg_id"])


def test_a_subshell_answers_while_a_cell_runs(kernel: LiveKernel) -> None:
    subshell = control(kernel, "create_subshell_request", {})["subshell_id"]
    kernel.run("busy = torch.ones(3, 5)")
    identity = kernel.send("print('busy now')\nwhile True: busy2 = torch.ones(2)")
    kernel.wait_for_output(identity, "busy now")
    try:
        asked = {"code": "busy", "cursor_pos": 4, "detail_level": 0}
        found = subshell_request(kernel, subshell, "inspect_request", asked)
        assert "(3, 5)" in found["data"]["text/plain"]
        asked = {"code": "busy", "cursor_pos": 4}
        found = subshell_request(kernel, subshell, "complete_request", asked)
        assert found["matches"] == ["busy", "busy2"]
    finally:
        kernel.manager.interrupt_kernel()
    error = kernel.outcome(identity).error
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    assert control(kernel, "delete_subshell_request", {"subshell_id": subshell})["status"] == "ok"


def debug(kernel: LiveKernel, number: int, command: str, **arguments: Any) -> dict[str, Any]:
    request = {"type": "request", "seq": number, "command": command, "arguments": arguments}
    return control(kernel, "debug_request", request)


def test_the_debugger_stops_at_a_breakpoint() -> None:
    pytest.importorskip("debugpy")
    kernel = LiveKernel()
    try:
        code = "def traced(x):\n    y = x * 2\n    return y\ntraced(torch.ones(2))"
        started = debug(kernel, 1, "initialize", clientID="test", adapterID="", pathFormat="path",
                        linesStartAt1=True, columnsStartAt1=True)  # fmt: skip
        assert started["success"], started
        assert debug(kernel, 2, "attach")["success"]
        source = debug(kernel, 3, "dumpCell", code=code)["body"]["sourcePath"]
        set_at = debug(kernel, 4, "setBreakpoints", breakpoints=[{"line": 3}],
                       source={"path": source}, sourceModified=False)  # fmt: skip
        assert set_at["body"]["breakpoints"][0]["verified"]
        debug(kernel, 5, "configurationDone")
        identity = kernel.send(code)
        while True:
            message = kernel.client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
                break
        thread = message["content"]["body"]["threadId"]
        frames = debug(kernel, 6, "stackTrace", threadId=thread)["body"]["stackFrames"]
        assert (frames[0]["name"], frames[0]["line"]) == ("traced", 3)
        debug(kernel, 7, "continue", threadId=thread)
        assert kernel.outcome(identity).text == "tensor([2., 2.])"
        debug(kernel, 8, "disconnect", restart=False, terminateDebuggee=True)
    finally:
        kernel.close()


def memory(kernel: LiveKernel) -> int:
    return int(control(kernel, "usage_request", {})["kernel_memory"])


def test_a_flood_of_output_arrives_and_is_not_kept(kernel: LiveKernel) -> None:
    before = memory(kernel)
    found = kernel.run("for k in range(1000): print(str(k % 10) * 99_999)")
    assert len(found.stdout) == 100_000_000
    assert kernel.run("1 + 1").text == "2"
    held = "sum(len(v) for v in get_ipython().history_manager.outputs.values()) < 100"
    assert kernel.run(held).text == "True"
    assert memory(kernel) - before < 250_000_000


def test_a_display_of_100_megabytes_arrives_and_is_not_kept(kernel: LiveKernel) -> None:
    kernel.run("from IPython.display import display")
    (data,) = kernel.run("display({'text/plain': 'y' * 100_000_000}, raw=True)").data
    assert len(data["text/plain"]) == 100_000_000
    longest = (
        "max(len(t) for v in get_ipython().history_manager.outputs.values() for o in v "
        "for t in o.bundle.values())"
    )
    assert int(kernel.run(longest).text) <= 1_000_000


def test_a_tensor_of_a_million_elements_prints_short(kernel: LiveKernel) -> None:
    (data,) = kernel.run("torch.randn(1000, 1000)").data
    assert len(data["text/plain"]) < 1000
    assert len(json.dumps(data)) < 100_000


def test_a_lack_of_memory_is_an_error_and_no_more(kernel: LiveKernel) -> None:
    found = kernel.run("torch.zeros(10**14)")
    assert found.error is not None
    assert "emory" in found.error["ename"] + found.error["evalue"]
    assert kernel.run("torch.ones(2).sum()").text == "tensor(2.)"


@pytest.mark.parametrize("end", ["os._exit(0)", "pass", "raise SystemExit", "sys.exit(3)", "1 / 0"])
def test_a_forked_child_ends_with_its_cell(kernel: LiveKernel, end: str) -> None:
    code = (
        "import os, sys, warnings\nwarnings.simplefilter('ignore')\nchild = os.fork()\n"
        f"if child == 0:\n    print('child', flush=True)\n    {end}\n"
        "else:\n    status = os.waitpid(child, 0)[1]"
    )
    kernel.run(code)
    status = {"sys.exit(3)": 3, "1 / 0": 1}.get(end, 0)
    assert kernel.run("os.waitstatus_to_exitcode(status)").text == str(status)
    assert kernel.run("1 + 1").text == "2"


def test_a_thread_that_prints_is_heard(kernel: LiveKernel) -> None:
    code = (
        "import threading\nthread = threading.Thread(target=lambda: print('from the thread'))\n"
        "thread.start(); thread.join()"
    )
    assert kernel.run(code).stdout == "from the thread\n"


def test_a_kernel_answers_after_a_thread_died(kernel: LiveKernel) -> None:
    kernel.run("thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()")
    assert kernel.run("1 + 1").text == "2"


def test_display_updates_and_clears_reach_the_front_end(kernel: LiveKernel) -> None:
    code = (
        "from IPython.display import clear_output\n"
        "shown = display('one', display_id='d')\nshown.update('two')\nclear_output(wait=True)"
    )
    identity = kernel.send(code)
    kinds = []
    ends = time.monotonic() + PATIENCE
    while "clear_output" not in kinds and time.monotonic() < ends:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") == identity:
            kinds.append(message["msg_type"])
    assert [k for k in kinds if k.startswith(("display", "update"))] == [
        "display_data", "update_display_data",
    ]  # fmt: skip
    kernel.outcome(identity)


def test_a_safe_cell_that_is_interrupted_leaves_no_trace(kernel: LiveKernel) -> None:
    kernel.run("counted = torch.zeros(3)")
    identity = kernel.send("%%safe\nprint('goes')\nwhile True: counted.add_(1)")
    kernel.wait_for_output(identity, "goes")
    kernel.manager.interrupt_kernel()
    found = kernel.outcome(identity)
    assert found.error is not None
    assert found.error["ename"] == "KeyboardInterrupt"
    assert found.reply["status"] == "error"
    assert "Undone: writes to 1 tensor" in found.stdout
    assert kernel.run("counted.tolist()").text == "[0.0, 0.0, 0.0]"


def test_a_flood_comes_in_pieces_that_leave_time_for_others(kernel: LiveKernel) -> None:
    identity = kernel.send(
        "print('x' * 9_000_000, end='')\nfor _ in range(90): print('y' * 99_999)"
    )
    sizes, text = [], ""
    while True:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != identity:
            continue
        if message["content"].get("execution_state") == "idle":
            break
        if message["msg_type"] == "stream":
            sizes.append(len(message["content"]["text"]))
            text += message["content"]["text"]
    assert kernel.reply(identity)["status"] == "ok"
    assert text == "x" * 9_000_000 + ("y" * 99_999 + "\n") * 90
    assert max(sizes) <= MOST_UNSENT + PIECE
