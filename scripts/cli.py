"""What every command shares: parse `Args`, run `main`, turn what went wrong into one line and an exit code.

Exit codes: 0 done; 1 a gate or check failed; 2 the input was unusable (one line says what, where and what to do);
130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from data_pipeline.errors import InputError

A = TypeVar("A")


def run(
    args_type: type[A],
    main: Callable[[A], int],
    doc: str | None,
    *,
    defaults: Callable[[list[str]], A] | None = None,
) -> int:
    """Parse the command line into `args_type`, call `main`, and return the process's exit code.

    `defaults` makes the values of options that are not given, from the words of the command line; without it they are
    those of `args_type`.
    """
    name = f"python -m scripts.{Path(sys.argv[0]).stem}"
    try:
        if defaults is None:
            return main(tyro.cli(args_type, prog=name, description=doc))
        return main(tyro.cli(args_type, prog=name, description=doc, default=defaults(sys.argv[1:])))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
