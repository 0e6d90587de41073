"""Ray as an executor of `concurrent.futures`: work made of plain functions runs on several machines as it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import ray

from agents.runtime import start_ray


class RayExecutor(Executor):
    """Runs each call as a Ray task of one CPU on the cluster at `address` ("auto": the one this machine is part of;
    None: the one this process is connected to, else a local one, started here). The machines must have this code and
    the files that the calls name.

    As a context manager it leaves the cluster at the end, unless the process was in it before; tasks that still run
    are ended with it.
    """

    def __init__(self, address: str | None = None) -> None:
        self._connected = not ray.is_initialized()
        start_ray(address=address or "")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start the call; what it raises is raised by the future's `result` as it was."""
        future: Future[Any] = Future()
        reference = ray.remote(num_cpus=1, max_retries=3)(fn).remote(*args, **kwargs)

        def settle(done: Future[Any]) -> None:
            error = done.exception()
            if error is None:
                future.set_result(done.result())
            else:  # Ray wraps what a task raised; the cause is the error itself
                future.set_exception(getattr(error, "cause", None) or error)

        reference.future().add_done_callback(settle)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, at once (callers collect their results first), unless it was there before."""
        if self._connected:
            ray.shutdown()
