"""Talk to the peers, which live in an environment of their own: a process for each, one JSON object a line."""

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from data_pipeline.errors import InputError

DEFAULT_FOLDER = Path(__file__).parents[2] / ".peers"
_SERVER = Path(__file__).with_name("server.py")
_ONE_THREAD = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def python_of(folder: Path) -> Path:
    """The interpreter of the environment in `folder`."""
    return folder / "bin" / "python"


class Peer:
    """A process of the peers' environment that runs functions of the modules in this folder, on one thread."""

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        """Raises InputError when the environment in `folder` has not been set up."""
        if not (folder / "requirements.sha256").exists():
            raise InputError(
                "the peers' environment is missing",
                where=str(folder),
                remedy=f"run python -m benchmarks.peers.setup --folder {folder}, or pass --without-peers",
            )
        self._process = subprocess.Popen(
            [str(python_of(folder)), str(_SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": ""},
        )

    def ask(self, module: str, function: str, **arguments: Any) -> Any:
        """What `function` of `module` answers to JSON arguments; RuntimeError with the peer's words when it failed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        question = {"module": module, "function": function, "arguments": arguments}
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"the peer's process ended with {self._process.wait()} at {module}.{function}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{module}.{function}: {answer['error']}")
        return answer["answer"]

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()  # the server ends with its input
        self._process.wait()
