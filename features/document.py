"""Writes the feature tables of docs/features.md from the catalogues: `python -m features.document [PATH]`."""

import sys
from pathlib import Path

from data_pipeline.errors import InputError
from features.catalogue import KINDS, PRESETS, catalogue

PAGE = "docs/features.md"
BEGIN = "<!-- catalogue: written by python -m features.document, do not edit -->"
END = "<!-- end of catalogue -->"


def catalogue_tables() -> str:
    """Every kind's section, in Markdown: what it is made from, its presets, and its table."""
    sections = []
    for kind in KINDS.values():
        specs = catalogue(kind.name)
        fields = ", ".join(f"{name}?" if name in kind.optional else name for name in kind.fields)
        lines = [
            f"### {kind.name}: {len(specs)} features in {len({spec.family for spec in specs})} families",
            f"Rows by `{kind.time_field}`: {fields} (?: a source may lack it). Windows: `{kind.parameters.__name__}`.",
        ]
        presets = PRESETS.get(kind.name, {})
        if presets:
            lines.append("Presets: " + "; ".join(f"`{name}`: {', '.join(of)}" for name, of in presets.items()) + ".")
        sections.append("\n".join([*lines, "", catalogue_table(kind.name)]))
    return "\n\n".join(sections)


def catalogue_table(kind: str = "bars") -> str:
    """A kind's default catalogue as a Markdown table, one row per feature, in the order of the columns."""
    lines = [
        "| # | name | family | inputs | window | warm-up | formula | reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, spec in enumerate(catalogue(kind), start=1):
        formula = spec.formula.replace("|", "\\|")
        inputs = ", ".join(spec.inputs)
        about = f"{spec.window} | {spec.warmup} | {formula} | {spec.reference}"
        lines.append(f"| {number} | `{spec.name}` | {spec.family} | {inputs} | {about} |")
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """`page` with what stands between its two marks replaced by the current tables.

    Raises InputError when a mark is missing.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise InputError("the marks of the feature tables are missing", remedy=f"put in {BEGIN!r} and {END!r}")
    return f"{head}{BEGIN}\n{catalogue_tables()}\n{END}{tail}"


def main(path: str) -> None:
    """Bring the tables in the file at `path` up to date."""
    page = Path(path)
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else PAGE)
