"""Graphs and plans of the bar engine: the catalogue says what the graphs say, and only what is asked for is done."""

import numpy as np
import pytest

from features.bars.catalogue import bar_catalogue
from features.bars.graph import Node, bar_field, difference, lag, square, total, zscore
from features.bars.graphs import bar_graphs
from features.bars.instruction import INSTRUCTION, OP
from features.bars.ops import Op
from features.bars.plan import FIELD_COUNT, FIRST, INSTRUCTION_COUNT, compile_plan, order_steps, place_columns
from features.column_tables import covering_parts, window_parts
from features.config import BarParameters
from features.stream import FeatureStream

OTHER = BarParameters(
    horizons=(1, 3, 90), short=9, long=31, aggregation=3, other_aggregations=(2, 7), lags=(2,), day=50, days=3
)


def operations(nodes: list[Node]) -> list[Op]:
    plan = compile_plan(nodes, 60_000, 0).plan
    start = FIRST + 2 * plan[FIELD_COUNT]
    code = plan[start : start + plan[INSTRUCTION_COUNT] * INSTRUCTION].reshape(-1, INSTRUCTION)
    return [Op(int(line[OP])) for line in code]


@pytest.mark.parametrize("parameters", [BarParameters(), OTHER], ids=["default", "other"])
def test_warmup_and_inputs_of_the_catalogue_are_those_of_the_graphs(parameters: BarParameters) -> None:
    graphs = bar_graphs(parameters)
    specs = bar_catalogue(parameters)
    assert set(graphs) == {spec.name for spec in specs}
    for spec in specs:
        assert (spec.name, graphs[spec.name].warmup) == (spec.name, spec.warmup)
        assert (spec.name, graphs[spec.name].fields) == (spec.name, frozenset(spec.inputs))


def test_equal_columns_are_one_node() -> None:
    close = bar_field("close")
    assert difference(close, lag(close, 1)) is difference(bar_field("close"), lag(close, 1))
    assert lag(close, 1) is not lag(close, 2)


def test_only_what_the_selection_needs_is_done() -> None:
    graphs = bar_graphs(BarParameters())
    assert operations([graphs["body"]]) == [Op.BODY]
    assert operations([graphs["taker_imbalance"]]) == [Op.TAKER_DELTA, Op.RATIO]
    one, both = (
        operations([graphs[name] for name in names])
        for names in (["volume_zscore_60"], ["volume_zscore_60", "trade_count_zscore_60"])
    )
    assert one == [Op.DEVIATION, Op.ZSCORE]
    assert len(both) == 4


def test_windows_of_one_column_are_made_in_one_go() -> None:
    x = square(bar_field("volume"))
    assert operations([total(x, 15), total(x, 60), zscore(x, 60)]).count(Op.TOTAL) == 1


def test_a_feature_that_others_read_is_copied_out() -> None:
    delta = difference(bar_field("close"), bar_field("open"))
    assert operations([delta, square(delta)]) == [Op.DIFFERENCE, Op.PRODUCT, Op.COPY]
    assert operations([delta, delta]) == [Op.DIFFERENCE, Op.COPY, Op.COPY]
    assert operations([bar_field("close")]) == [Op.COPY]


def test_places_are_used_again_but_never_while_somebody_still_reads() -> None:
    graphs = bar_graphs(BarParameters())
    steps = order_steps(list(graphs.values()))
    fields = list({x for step in steps for x in step.inputs if x.op is None})
    places, count = place_columns(steps, fields)
    columns = sum(len(step.outputs) for step in steps if step.row is None) + len(fields)
    assert count < columns / 2
    holder = {places[node]: node for node in fields}
    for step in steps:
        for x in step.inputs:
            assert holder[places[x]] is x
        if step.row is None:
            for output in step.outputs:
                assert places[output] not in {places[x] for x in step.inputs}
                holder[places[output]] = output


def test_constants_are_floats_whatever_they_were() -> None:
    """Whole numbers alone would make an array of them, and the compiler a second function."""
    for names in (["volume_zscore_60"], ["body"], None):
        assert FeatureStream(names)._settings.dtype == np.float64


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 15, 16, 60, 255, 1_023])
@pytest.mark.parametrize("base", [2, 4])
def test_parts_of_a_window_are_the_window(window: int, base: int) -> None:
    rows = [part.shift + k for part in window_parts(window, base) for k in range(base**part.level)]
    assert sorted(rows) == list(range(window))
    covered = {part.shift + k for part in covering_parts(window, base) for k in range(base**part.level)}
    assert covered == set(range(window))
