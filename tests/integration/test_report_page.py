"""The report page: whole, self-contained, readable on a phone, and saying the same numbers as the table and the
JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape

import pytest
from rich.console import Console

from envs.config import MarketConfig
from evaluation import report
from evaluation.formats import percent, share, signed
from evaluation.report import render_report, write_report
from evaluation.report_data import ReportData
from evaluation.summary import summary_dict, summary_table
from evaluation.trials import TrialCount
from tests.browser import BROWSER, in_browser, text_of
from tests.report_tools import demo_report


@pytest.fixture(scope="module")
def data() -> ReportData:
    return demo_report(test_days=21)


@pytest.fixture(scope="module")
def page(data) -> str:
    return render_report(data)


@pytest.fixture(scope="module")
def two() -> ReportData:
    return demo_report("no_edge", ("SYN/USDT", "SYN2/USDT"), test_days=3)


@pytest.fixture(scope="module")
def idle() -> ReportData:
    return demo_report("no_edge", test_days=2, enter=1e9)


def test_page_table_and_json_say_the_same(data, page):
    policy = data.summary.overall.policy
    console = Console(width=200)
    with console.capture() as capture:
        console.print(summary_table(data))
    terminal, visible = capture.get(), text_of(page)
    stored = json.loads(json.dumps(summary_dict(data), allow_nan=False))
    for number, spoken in (
        (stored["overall"]["policy"]["net_return"]["value"], percent(policy.net_return.value)),
        (stored["overall"]["policy"]["sharpe"]["annual"], signed(policy.sharpe.annual, 2)),
        (stored["overall"]["policy"]["drawdown"]["depth"], share(policy.drawdown.depth, 2)),
        (stored["overall"]["policy"]["paid"], share(policy.paid, 2)),
    ):
        assert isinstance(number, float)
        assert spoken in terminal
        assert spoken in visible
    assert stored["verdict"]["sentence"] == data.summary.verdict.sentence
    assert data.summary.verdict.sentence in visible
    assert stored["overall"]["random_entries"]["p_value"] == data.summary.overall.random.p_value
    assert len(stored["symbols"]["SYN/USDT"]["predictions"]) == 8
    assert [found["name"] for found in stored["symbols"]["SYN/USDT"]["simple_predictions"]] == ["logistic"] * 2


def test_a_good_policy_on_the_planted_edge_is_recognised(data):
    assert data.summary.verdict.level == "evidence"
    assert data.summary.overall.random.p_value == pytest.approx(1 / 201)


def test_everything_asked_for_is_on_the_page(page):
    visible = text_of(page)
    for part in (
        "SYNTHETIC",
        "Evidence of an edge",
        "Beside the baselines",
        "Flat",
        "Buy and hold",
        "Best threshold rule",
        "Perfect foresight",
        "Random entries",
        "Drawdown",
        "Where the money went",
        "Trades on the price",
        "How trades ended",
        "Calibration, 5 bars ahead",
        "Ensemble weights, 15 bars ahead",
        "Coverage",
        "price frozen",
        "Other seeds",
        "probability of backtest overfitting",
        "Not modelled",
        "docs/fills.md",
        "git revision",
        "minimum track record",
    ):
        assert part in visible, part


def test_the_page_needs_no_network_and_is_small(page):
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:)""", page)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", page)
    assert len(page.encode()) < 2_000_000


def test_pictures_have_words_and_tables_have_heads(page):
    pictures = re.findall(r'<div class="plot[^>]*>', page)
    assert len(pictures) >= 10
    for picture in pictures:
        assert re.search(r'role="img" aria-label="[^"]{20,}"', picture), picture
    assert page.count("<table>") == page.count("<thead>")
    assert '<html lang="en">' in page
    assert page.count("<h1>") == 1


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_has_contrast(page, scheme):
    """WCAG AA in light and dark: 4.5 for text, 3 for lines."""
    colours = {
        name: pair[scheme] for name, *pair in re.findall(r"--(\w+(?:-\w+)?): light-dark\((#\w+), (#\w+)\)", page)
    }
    for ground in ("paper", "card"):
        for name in ("ink", "soft", "gain", "loss", "policy"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for name in ("hold", "third", "fourth", "random"):
            assert contrast(colours[name], colours[ground]) >= 3.0, (name, ground)
    assert contrast(colours["warn"], colours["warn-wash"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_several_symbols_have_a_section_each_and_one_together(two):
    visible = text_of(render_report(two))
    assert visible.count("Trades on the price") == 2
    whole, parts = two.summary.overall, two.summary.sections
    assert whole.title == "All symbols"
    earned = [part.policy.net_return.value for part in parts]
    assert whole.policy.net_return.value == pytest.approx(sum(earned) / 2)
    assert whole.policy.trades == sum(part.policy.trades for part in parts)
    assert whole.random.returns == pytest.approx(sum(part.random.returns for part in parts) / 2)
    assert set(summary_dict(two)["symbols"]) == {"SYN/USDT", "SYN2/USDT"}
    assert two.summary.verdict.level == "too_little"


def test_both_bounds_are_told_where_bars_touched_both_barriers():
    """Brackets of 4 bps, which many a bar touches on both sides: every symbol is told of, and all of them together."""
    close = MarketConfig(default_tp_bps=4.0, default_sl_bps=4.0)
    data = demo_report("no_edge", ("SYN/USDT", "SYN2/USDT"), test_days=3, config=close)
    stored = summary_dict(data)
    parts = [stored["symbols"][symbol.symbol]["ambiguous_exits"] for symbol in data.symbols]
    for part, symbol in zip(parts, data.symbols, strict=True):
        assert part["exits"] == symbol.result.trades.num_rows
        assert part["share"] == part["ambiguous"] / part["exits"] > 0.0
        assert part["other_return"] > part["net_return"] == symbol.result.equity[-1, 0] / 10_000.0 - 1.0
    whole = stored["overall"]["ambiguous_exits"]
    assert whole["ambiguous"] == sum(part["ambiguous"] for part in parts)
    assert whole["other_return"] == pytest.approx(sum(part["other_return"] for part in parts) / 2)
    visible, console = text_of(render_report(data)), Console(width=80)
    with console.capture() as capture:
        console.print(summary_table(data))
    for part in (whole, *parts):
        counted = f"{part['ambiguous']:,} exits of {part['exits']:,} ({share(part['share'], 2)})"
        bounds = f"{percent(part['net_return'])} as counted, {percent(part['other_return'])} with the other"
        assert counted in visible
        assert bounds in visible
        assert percent(part["other_return"]) in capture.get()


def test_a_policy_that_never_trades_has_a_page(idle):
    visible = text_of(render_report(idle))
    assert "the policy never traded" in visible
    assert not re.search(r"\b(nan|inf)\b", visible, flags=re.I)
    json.dumps(summary_dict(idle), allow_nan=False)


def test_names_cannot_smuggle_markup(data):
    hostile = "<script>alert(1)</script>"
    page = render_report(replace(data, title=hostile, provenance={"Run": {"note": hostile}}))
    assert hostile not in page
    assert escape(hostile) in page


def test_more_trials_take_the_evidence_away(data):
    many = replace(data, trials=TrialCount(200, 9.0))
    assert many.summary.deflated_sharpe < data.summary.deflated_sharpe
    assert many.summary.verdict.level == "none"
    assert "deflated Sharpe" in many.summary.verdict.sentence


def test_without_the_badge_splendid_results_are_suspected(data):
    visible = text_of(render_report(replace(data, synthetic="")))
    assert "SYNTHETIC" not in visible
    assert "Suspiciously good: a leak until disproved" in visible
    assert "an annual Sharpe ratio of" in visible
    assert "ensemble is right" in visible


def test_a_failed_write_leaves_the_old_page(data, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(data, path)
    before = path.read_bytes()
    monkeypatch.setattr(report, "render_report", lambda _: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(RuntimeError):
        write_report(data, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


CONTROLS = """
  const press = (name) => inner.querySelector(`[data-do=${name}]`)?.click();
  const shown = () => inner.querySelector("[data-shown]")?.textContent;
  found.before = shown(); press("closer"); found.closer = shown(); press("all"); found.all = shown();
  const plot = inner.querySelector(".hoverable"), box = plot.getBoundingClientRect();
  plot.dispatchEvent(new view.PointerEvent("pointermove", { clientX: box.left + box.width / 2, clientY: box.top + 9 }));
  found.tip = inner.querySelector(".tip")?.textContent;
  inner.getElementById("theme").click();
  found.theme = inner.documentElement.dataset.theme;
  found.paper = view.getComputedStyle(inner.body).backgroundColor;
"""


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_real_browser(data, page, tmp_path, width):
    found = in_browser(page, width, tmp_path, CONTROLS)
    assert found["errors"] == []
    assert found["needed"] <= found["width"] == width
    trades = data.summary.overall.policy.trades
    assert found["all"] == f"{trades} of {trades} trades shown"
    closer, before = (int(found[name].split()[0]) for name in ("closer", "before"))
    assert 0 < closer < before < trades
    assert "Policy" in found["tip"]
    assert "UTC" in found["tip"]
    assert found["theme"] in ("light", "dark")
    assert found["paper"] in ("rgb(20, 22, 26)", "rgb(250, 249, 246)")


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_a_page_without_trades_works_in_a_browser_too(idle, tmp_path):
    found = in_browser(render_report(idle), 390, tmp_path, CONTROLS)
    assert found["errors"] == []
    assert found["needed"] <= 390
