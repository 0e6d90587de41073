"""Writes the feature table of docs/features.md from the catalogue: `python -m features.document [PATH]`."""

import sys
from pathlib import Path

from data_pipeline.errors import InputError
from features.catalogue import catalogue

PAGE = "docs/features.md"
BEGIN = "<!-- catalogue: written by python -m features.document, do not edit -->"
END = "<!-- end of catalogue -->"


def catalogue_table() -> str:
    """The default catalogue as a Markdown table, one row per feature, in the order of the columns."""
    lines = [
        "| # | name | family | inputs | window | warm-up | formula | reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, spec in enumerate(catalogue(), start=1):
        formula = spec.formula.replace("|", "\\|")
        inputs = ", ".join(spec.inputs)
        about = f"{spec.window} | {spec.warmup} | {formula} | {spec.reference}"
        lines.append(f"| {number} | `{spec.name}` | {spec.family} | {inputs} | {about} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """`page` with the table between its two marks replaced by the current one.

    Raises InputError when a mark is missing.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise InputError("the marks of the feature table are missing", remedy=f"put in {BEGIN!r} and {END!r}")
    return f"{head}{BEGIN}\n{catalogue_table()}\n{END}{tail}"


def main(path: str) -> None:
    """Bring the table in the file at `path` up to date."""
    page = Path(path)
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else PAGE)
