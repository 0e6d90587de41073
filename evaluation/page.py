"""What every page shares: the template environment, the look, the filters for numbers, and writing it whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from data_pipeline.files import atomic_path
from evaluation import formats
from evaluation.svg import Figure

NUMBERS: Mapping[str, Callable[..., Any]] = {
    "pct": formats.percent,
    "share": formats.share,
    "signed": formats.signed,
    "plain": formats.plain,
    "bps": formats.bps,
    "p": formats.p_equals,
    "p_value": formats.p_value,
    "probability": formats.probability,
    "count": formats.counted,
    "date": formats.date,
    "json": lambda value: Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")),
}
"""Filters of every template: numbers as people read them, and data for the page's script."""


def render_page(template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """One self-contained page: `template` of evaluation/templates with `NUMBERS`, `filters`, the style, the script and
    `values`, which imported macros see too. A name that the template asks for and nobody gives is an error."""
    environment = Environment(
        loader=PackageLoader("evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(NUMBERS)
    environment.filters.update(filters)
    environment.globals.update(values)
    folder = resources.files("evaluation") / "templates"
    for name, file in (("css", "report.css"), ("js", "report.js")):
        environment.globals[name] = Markup((folder / file).read_text(encoding="utf-8"))
    return environment.get_template(template).render()


def safe(figure: Figure) -> dict[str, Any]:
    """A figure for the template: its HTML is ours and already escaped."""
    return {"html": Markup(figure.html), "legend": figure.legend, "hover": figure.hover}


def write_page(page: str, path: Path) -> Path:
    """Write the page to `path`, whole or not at all, and return `path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path
