"""Networks that learn in kept buffers, against plain layers; Adam over one tensor, against Adam over many."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

import agents.dense
from agents.dense import Buffers, Dense
from agents.flat_adam import FlatAdam


def network(widths: tuple[int, ...] = (5, 8, 7, 3)) -> Dense:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return Dense(*layers[:-1])


def gradients(net: nn.Module, rows: torch.Tensor) -> list[torch.Tensor]:
    """Of a loss that uses the network twice before it is differentiated, as a critic's and its policy's do."""
    inputs = rows.clone().requires_grad_()
    net.zero_grad()
    loss = net(inputs).square().sum() + net(inputs.flip(0)).sin().sum()
    loss.backward()
    found = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    assert inputs.grad is not None
    return [*found, inputs.grad]


@pytest.mark.parametrize("widths", [(5, 8, 7, 3), (5, 8, 8, 8, 1), (4, 2)])
def test_kept_buffers_change_no_bit(widths: tuple[int, ...]) -> None:
    plain, kept = network(widths), network(widths)
    kept.keep_buffers()
    for count in (20, 33, 20, 7, 33):  # longer and shorter than what the buffers held before
        rows = torch.randn(count, widths[0])
        assert torch.equal(plain(rows), kept(rows))
        for one, two in zip(gradients(plain, rows), gradients(kept, rows), strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("there", [True, False])
def test_large_layers_agree_to_rounding(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    quick = agents.dense._linear

    def counted(*args: object) -> torch.Tensor:
        calls.append(args)
        return quick(*args)

    monkeypatch.setattr(agents.dense, "_linear", counted if there and quick is not None else None)
    kept, exact = network((40, 64, 48, 3)), network((40, 64, 48, 3)).double()
    kept.keep_buffers()
    for count in (1_500, 40, 1_100):  # large, then small, then large again
        rows = torch.randn(count, 40)
        torch.testing.assert_close(kept(rows).double(), exact(rows.double()), rtol=1e-4, atol=1e-5)
        for one, two in zip(gradients(kept, rows), gradients(exact, rows.double()), strict=True):
            torch.testing.assert_close(one.double(), two, rtol=1e-3, atol=1e-5 * float(two.abs().max()))
    assert bool(calls) == (there and quick is not None)


def test_a_step_needs_no_new_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    take = Buffers.take

    def counted(self: Buffers, rows: int, width: int, like: torch.Tensor) -> torch.Tensor:
        known = {id(each) for free in self._free.values() for each in free}
        found = take(self, rows, width, like)
        made.append(id(found) not in known)
        return found

    monkeypatch.setattr(Buffers, "take", counted)
    net = network()
    net.keep_buffers()
    rows = torch.randn(30, 5)
    gradients(net, rows)
    assert any(made)
    made.clear()
    gradients(net, rows[:20])
    assert made
    assert not any(made)


def test_outputs_cannot_be_differentiated_twice() -> None:
    net = network()
    net.keep_buffers()
    loss = net(torch.randn(4, 5)).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(TypeError):
        loss.backward()


def test_flat_adam_steps_as_adam_does() -> None:
    one = network()
    two = copy.deepcopy(one)
    plain, flat = torch.optim.Adam(one.parameters(), lr=0.01, fused=True), FlatAdam(two, lr=0.01)
    assert one.state_dict().keys() == two.state_dict().keys()
    for _ in range(5):
        rows = torch.randn(16, 5)
        for net, optimizer in ((one, plain), (two, flat)):
            optimizer.zero_grad()
            net(rows).square().sum().backward()
            optimizer.step()
    for here, there in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-6, atol=1e-7)
    norm = torch.linalg.vector_norm(torch.cat([each.grad.flatten() for each in two.parameters()]))
    assert flat.flat.grad is not None
    torch.testing.assert_close(torch.linalg.vector_norm(flat.flat.grad), norm)
    two.load_state_dict(network().state_dict())  # in place: the optimizer goes on with what was loaded
    assert torch.equal(flat.flat.detach()[: 5 * 8].reshape(8, 5), two[0].weight)
