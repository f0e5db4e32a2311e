"""The emulator logs each line that a function writes, however busy the machine is.

The emulator reads a function's standard error in a thread and takes its lines when the function has answered, until
there was none for 5 ms: what a busy machine reads later is logged with the next invocation, or never. Here the
function's process says when it has written everything (`function_logs.marked`), and the emulator waits for that.
"""

from __future__ import annotations

import queue
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from shop.local import mending
from shop.local.function_logs import END_MARK

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 5.0
"""The longest wait for a mark: a process that was started by the function may keep the pipe open after its death."""
_LOOK_SECONDS = 0.02
_HANDLER_IS_CALLED = "result = handler_fn(event, context)"


def mend() -> None:
    """Mend the emulator's reading of what functions write. Raises MendError."""
    runtime = mending.module("core.lambda_runtime")
    if runtime._PYTHON_WORKER_SCRIPT.count(_HANDLER_IS_CALLED) != 1:
        raise mending.MendError("the emulator's program for Python functions is another one")
    runtime._PYTHON_WORKER_SCRIPT = runtime._PYTHON_WORKER_SCRIPT.replace(
        _HANDLER_IS_CALLED, "result = marked(handler_fn)(event, context)"
    )
    request_id: ContextVar[str] = ContextVar("request_id")

    def invoke(original: Any) -> Any:
        def run(worker: Any, event: Any, invocation: str, **options: Any) -> Any:
            request_id.set(invocation)
            return original(worker, event, invocation, **options)

        return run

    def drain(original: Any) -> Any:
        def run(worker: Any, *arguments: Any, **options: Any) -> str:
            if not str(worker.config.get("Runtime")).startswith("python"):
                text: str = original(worker, *arguments, **options)
                return text
            return "\n".join(lines(worker._stderr_queue, request_id.get(), worker._stderr_thread.is_alive))

        return run

    mending.wrap(runtime.Worker, "invoke", invoke)
    mending.wrap(runtime.Worker, "_drain_stderr", drain)
    mending.wrap(runtime.Worker, "_drain_stderr_bounded", drain)


def lines(
    written: queue.Queue[str], request_id: str, is_read: Callable[[], bool], seconds: float = _SECONDS
) -> list[str]:
    """Take what a function has `written` up to the mark of this invocation, without any marks.

    Ends earlier when nobody reads what the process writes any more (its pipe is closed), and after some seconds.
    """
    found: list[str] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # Before the queue is looked at: whoever reads puts the last line there and then ends.
        is_complete = not is_read()
        try:
            line = written.get(block=not is_complete, timeout=_LOOK_SECONDS)
        except queue.Empty:
            if is_complete:
                break
            continue
        text, mark, ended = line.partition(END_MARK)
        if text or not mark:
            found.append(text)
        if mark and ended == request_id:
            break
    return found
