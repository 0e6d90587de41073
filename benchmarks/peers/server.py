"""Runs in the peers' environment: calls functions of the modules beside it, as JSON lines on standard input ask."""

import importlib
import json
import os
import sys
import traceback


def main() -> None:
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as answers:
        os.dup2(2, 1)  # what a library prints must not get between the answers
        for line in sys.stdin:
            question = json.loads(line)
            try:
                function = getattr(importlib.import_module(question["module"]), question["function"])
                answer = {"answer": function(**question["arguments"])}
            except Exception:
                answer = {"error": traceback.format_exc()}
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
