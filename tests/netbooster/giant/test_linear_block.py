# SPDX-License-Identifier: Apache-2.0
"""An expanded block run as one linear map gives what its plain modules give."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from netbooster.giant import pointwise
from netbooster.giant.contraction import contract, contraction_error
from netbooster.giant.expanded import ExpandedConv
from netbooster.giant.expansion import ExpansionConfig, expand, expanded_layers
from netbooster.giant.linear_block import LinearBlock, linear_forward
from netbooster.giant.plt import set_alpha
from netbooster.models import build_model

C, M = 3, 7


def block(
    activation: nn.Module | None = None,
    *,
    alpha: float = 1.0,
    bias: bool = False,
    **choices: object,
) -> ExpandedConv:
    torch.manual_seed(1)
    made = ExpandedConv(
        nn.Conv2d(C, M, 1, bias=bias),
        **{
            "block": "inverted_residual",
            "ratio": 6,
            "activation": activation or nn.ReLU6(),
            "bn": nn.BatchNorm2d(M, eps=1e-3, momentum=0.2),
            **choices,
        },
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    set_alpha(made, alpha)
    return made


def image(dtype: torch.dtype = torch.float64, *, channels_last: bool = True) -> Tensor:
    x = 2 * torch.randn(5, C, 12, 11, dtype=dtype) + 3
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def run(module: ExpandedConv, x: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Output, gradients and running statistics of one training step of a copy of the block."""
    module = copy.deepcopy(module).train()
    x = x.clone().requires_grad_()
    y = module(x)
    y.backward(grad)
    assert x.grad is not None
    result = {"y": y.detach(), "x": x.grad}
    result |= {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    return result | dict(module.named_buffers())


def saved_bytes(module: nn.Module, x: Tensor) -> int:
    """Memory that autograd keeps between forward and backward pass."""
    storages: dict[int, torch.UntypedStorage] = {}

    def pack(t: Tensor) -> Tensor:
        storages[t.untyped_storage().data_ptr()] = t.untyped_storage()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        module(x)
    return sum(storage.nbytes() for storage in storages.values())


def plain(module: ExpandedConv) -> ExpandedConv:
    module = copy.deepcopy(module)
    module.fused = False
    return module


@pytest.mark.parametrize("activation", [nn.ReLU6(), nn.Hardswish()])
@pytest.mark.parametrize(("bias", "channels_last"), [(False, True), (True, False)])
@pytest.mark.parametrize("part", [1 << 18, 1000])
def test_equals_the_plain_modules(
    activation: nn.Module,
    bias: bool,
    channels_last: bool,
    part: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pointwise, "_PART", part)
    module = block(activation, bias=bias).double()
    x = image(channels_last=channels_last)
    grad = torch.randn(5, M, 12, 11, dtype=torch.float64)
    assert linear_forward(copy.deepcopy(module).train(), x) is not None
    before = x.clone()
    ours, theirs = run(module, x, grad), run(plain(module), x, grad)
    assert torch.equal(x, before)
    assert ours.keys() == theirs.keys()
    assert ours["y"].stride() == theirs["y"].stride()
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-8, atol=1e-9, msg=name)


def test_float32_is_as_exact_as_the_plain_modules() -> None:
    module = block()
    x, grad = image(torch.float32), torch.randn(5, M, 12, 11)
    truth = run(plain(module).double(), x.double(), grad.double())
    ours, theirs = run(module, x, grad), run(plain(module), x, grad)
    for name, exact in truth.items():
        size = exact.double().abs().max().item()
        ours_error = (ours[name].double() - exact).abs().max().item()
        theirs_error = (theirs[name].double() - exact).abs().max().item()
        assert ours_error <= 8 * theirs_error + 2e-6 * size, name


@pytest.mark.parametrize("sign", [-1.0, 0.0])
def test_scales_that_are_negative_or_zero(sign: float) -> None:
    module = block().double()
    with torch.no_grad():
        module[3].weight[:4] *= sign
        module[4].weight[3:6] *= sign
        module[1].weight[5:9] *= sign
    x, grad = image(), torch.randn(5, M, 12, 11, dtype=torch.float64)
    ours, theirs = run(module, x, grad), run(plain(module), x, grad)
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-7, atol=1e-8, msg=name)


def arguments(k: int, m: int) -> list[Tensor]:
    torch.manual_seed(2)
    shapes = [(40, 2), (k, 2), (k,), (k,), (k,), (k,), (k,), (m, k), (m,)]
    return [torch.randn(s, dtype=torch.float64).requires_grad_() for s in shapes]


def test_gradients_of_a_linear_block() -> None:
    def result(*given: Tensor) -> Tensor:
        return LinearBlock.apply(*given, (1e-3, 1e-2))[0]

    assert torch.autograd.gradcheck(result, arguments(6, 3), eps=1e-6, atol=1e-6)


def test_saves_no_map_of_the_inner_channels() -> None:
    module, x = block().train(), image(torch.float32).requires_grad_()
    one_map = 5 * 12 * 11 * 6 * C * 4
    assert saved_bytes(module, x) < x.numel() * 4 + one_map
    assert saved_bytes(plain(module), x) > 2 * one_map


def decaying(module: ExpandedConv) -> None:
    set_alpha(module, 0.99)


def frozen(module: ExpandedConv) -> None:
    module[1].eval()


def hooked(module: ExpandedConv) -> None:
    module[4].register_forward_hook(lambda *_: None)


def synchronized(module: ExpandedConv) -> None:
    module.bn2 = nn.SyncBatchNorm.convert_sync_batchnorm(module.bn2)


def cumulative(module: ExpandedConv) -> None:
    module[1].momentum = None


def half(module: ExpandedConv) -> None:
    module.bfloat16()


@pytest.mark.parametrize(
    "change", [nn.Module.eval, decaying, frozen, hooked, synchronized, cumulative, half]
)
def test_falls_back_where_it_would_not_be_the_same(change: Callable[[nn.Module], None]) -> None:
    module = block().train()
    x = image(torch.float32)
    assert linear_forward(module, x) is not None
    change(module)
    assert linear_forward(module, x.to(module.first.weight.dtype)) is None


@pytest.mark.parametrize(
    "choices", [{"block": "bottleneck"}, {"block": "basic"}, {"kernel": 3}, {"alpha": 0.0}]
)
def test_other_blocks_run_plainly(choices: dict[str, object]) -> None:
    module = block(**choices).train()  # type: ignore[arg-type]
    assert linear_forward(module, image(torch.float32)) is None


def test_autocast_and_single_pixels_run_plainly() -> None:
    x = image(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear_forward(block().train(), x) is None
    assert linear_forward(block().train(), x[:, :, :2, :2]) is not None
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        block().train()(x[:1, :, :1, :1])


def test_tracing_sees_the_modules() -> None:
    graph = fx.symbolic_trace(nn.Sequential(block()).train())
    assert "0.bn2" in {str(node.target) for node in graph.graph.nodes}


def test_giant_trains_as_before_and_contracts() -> None:
    torch.manual_seed(0)
    giant = expand(
        build_model("mobilenetv2-tiny", num_classes=5, resolution=32), ExpansionConfig()
    ).to(dtype=torch.float64, memory_format=torch.channels_last)
    other = copy.deepcopy(giant)
    for _, layer in expanded_layers(other):
        assert isinstance(layer, ExpandedConv)
        layer.fused = False
    x = torch.randn(16, 3, 32, 32, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(16) % 5
    twice = copy.deepcopy(giant)
    for model in (giant, other, twice):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
        for alpha in (0.0, 0.5, 1.0):
            set_alpha(model, alpha)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()
    assert giant.state_dict().keys() == other.state_dict().keys()
    for (name, a), b, c in zip(
        giant.state_dict().items(),
        other.state_dict().values(),
        twice.state_dict().values(),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=name)
        assert torch.equal(a, c), name  # the same bits each time
    assert contraction_error(giant, contract(giant), x) < 1e-9
