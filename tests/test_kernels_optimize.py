"""`optimize` swaps depthwise convolutions in place, changes nothing else, and does again what it did before."""

import copy
import json
from dataclasses import asdict

import pytest
import torch
from torch import Tensor, nn

import objabn
from objabn.kernels import trial
from objabn.kernels.depthwise import Ways
from objabn.kernels.modules import DepthwiseConv3d, is_supported
from objabn.kernels.optimize import Choices, optimize
from objabn.kernels.trial import fastest_way, time_ways

KEY = "cpu float32 channels_last 8x4x6x6, kernel 3x3x3, stride 1"
STRIDED = "cpu float32 channels_last 8x4x6x6, kernel 3x3x3, stride 2"
BFLOAT16 = "cpu bfloat16 channels_last 8x4x6x6, kernel 3x3x3, stride 1"
OURS = {"forward": "stock", "input_gradient": "flipped", "weight_gradient": "planes"}
CHOICES = Choices(ways={KEY: OURS, STRIDED: OURS, BFLOAT16: OURS})


def depthwise_layer(**changes: object) -> nn.Conv3d:
    setting = {"kernel_size": 3, "padding": 1, "groups": 8, "bias": False} | changes
    return nn.Conv3d(8, 8, **setting)


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.BatchNorm3d(8), depthwise_layer(), nn.Dropout(0.5), depthwise_layer(stride=(1, 2, 2)), nn.Conv3d(8, 2, 1)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last_3d)


def small_clip() -> Tensor:
    return torch.randn(2, 8, 4, 6, 6, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last_3d)


def gradients_of(net: nn.Module, clip: Tensor, function: object = None) -> list[Tensor]:
    torch.manual_seed(3)
    net.zero_grad()
    (function or net)(clip).float().square().sum().backward()
    return [parameter.grad for parameter in net.parameters()]


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max()


def test_choices_are_applied_and_gradients_stay_what_they_were() -> None:
    net, clip = small_network(), small_clip()
    parameters, names = list(net.parameters()), list(net.state_dict())
    expected = gradients_of(net, clip)
    applied = optimize(net, clip, choices=Choices(**json.loads(json.dumps(asdict(CHOICES)))))
    assert applied == CHOICES
    assert [type(layer).__name__ for layer in net] == ["BatchNorm3d", "DepthwiseConv3d", "Dropout", "DepthwiseConv3d", "Conv3d"]
    assert all(one is other for one, other in zip(net.parameters(), parameters, strict=True))
    assert list(net.state_dict()) == names
    found = gradients_of(net, clip)
    assert_close(found, expected)
    assert not all(one.equal(other) for one, other in zip(found, expected, strict=True)), "nothing was computed in another way"
    assert all(one.equal(other) for one, other in zip(gradients_of(net, clip), found, strict=True))


def test_a_trial_leaves_modes_statistics_hooks_and_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "milliseconds", lambda way: 1.0)
    net, clip = small_network(), small_clip()
    net[0].eval()
    state = copy.deepcopy(net.state_dict())
    torch.manual_seed(5)
    before = torch.get_rng_state()
    choices = optimize(net, clip)
    assert torch.get_rng_state().equal(before)
    assert [layer.training for layer in net] == [False, True, True, True, True]
    assert all(value.equal(state[name]) for name, value in net.state_dict().items())
    assert all(not layer._forward_pre_hooks for layer in net)
    # All are as fast as each other, so PyTorch's own stays, and no class is swapped.
    assert choices.ways == {key: dict.fromkeys(OURS, "stock") for key in (KEY, STRIDED)}
    assert not any(isinstance(layer, DepthwiseConv3d) for layer in net)
    assert choices.milliseconds[KEY]["weight_gradient"] == {"stock": 1.0, "planes": 1.0}


def test_the_fastest_way_is_taken_where_it_is_clearly_faster() -> None:
    assert fastest_way({"stock": 10.0, "planes": 9.4}) == "planes"
    assert fastest_way({"stock": 10.0, "planes": 9.6}) == "stock"
    assert fastest_way({"stock": 1.0, "planes": 2.0}) == "stock"


def test_ways_that_fail_are_left_out_and_hopeless_ones_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    durations = {"stock": 4.0, "slow": 40.0, "fast": 2.0}

    def fail() -> None:
        raise OSError("no compiler")

    def time_it(way: object) -> float:
        way()
        return durations[runs[-1]]

    monkeypatch.setattr(trial, "milliseconds", time_it)
    ways = {name: (lambda name=name: runs.append(name)) for name in durations} | {"broken": fail}
    assert time_ways(ways, "cpu") == durations
    assert (runs.count("fast"), runs.count("slow")) == (1 + trial.ROUNDS, 1 + trial.PATIENCE)
    with pytest.raises(OSError, match="no compiler"):
        time_ways({"stock": fail}, "cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"stride": (2, 1, 1)},
        {"stride": (1, 1, 2)},
        {"stride": (1, 3, 3)},
        {"dilation": 2, "padding": 2},
        {"padding": 0},
        {"padding": "same"},
        {"groups": 4},
        {"groups": 1},
        {"bias": True},
        {"kernel_size": 2},
        {"padding_mode": "circular"},
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(changes: dict[str, object]) -> None:
    assert is_supported(depthwise_layer())
    assert not is_supported(depthwise_layer(**changes))


def test_other_shapes_and_networks_stay_as_they_are() -> None:
    plain = nn.Sequential(nn.Conv3d(8, 8, 1), nn.ReLU())
    assert optimize(plain, small_clip()) == Choices()
    net = small_network()
    optimize(net, small_clip(), choices=CHOICES)
    stock = small_network()
    larger = torch.randn(1, 8, 5, 7, 6, generator=torch.Generator().manual_seed(1))
    assert all(one.equal(other) for one, other in zip(gradients_of(net, larger), gradients_of(stock, larger), strict=True))


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no way 'quick' for 'forward'; it has .*triton"):
        optimize(small_network(), small_clip(), choices=Choices(ways={KEY: OURS | {"forward": "quick"}}))


def test_copies_evaluation_and_half_precision() -> None:
    net, clip = small_network(), small_clip()
    stock = copy.deepcopy(net)
    optimize(net, clip, choices=CHOICES, dtype=torch.bfloat16)
    copied = copy.deepcopy(net)
    assert isinstance(copied[1], DepthwiseConv3d)
    assert next(iter(copied[1].ways.values())) == Ways(**OURS)
    with torch.no_grad():
        assert copied.eval()(clip).equal(stock.eval()(clip))
    stock.train(), net.train()
    # Some CPUs give what they convolve in bfloat16 another layout, and dropout draws in the order of memory.
    stock[2] = net[2] = nn.Identity()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = gradients_of(net, clip), gradients_of(stock, clip)
    assert_close(found, expected, tolerance=0.05)
    assert {gradient.dtype for gradient in found} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("amp", [False, True])
def test_compiles_whole(backend: str, amp: bool) -> None:
    net, clip = small_network(), small_clip()
    net[2] = nn.Identity()  # compiled dropout draws other numbers
    stock = copy.deepcopy(net)
    optimize(net, clip, choices=CHOICES, dtype=torch.bfloat16 if amp else None)
    torch._dynamo.reset()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        found = gradients_of(net, clip, torch.compile(net, backend=backend, fullgraph=True))
        expected = gradients_of(stock, clip)
    assert_close(found, expected, tolerance=0.05 if amp else 1e-5)
    assert torch._dynamo.explain(net)(clip).graph_break_count == 0


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["x3d_s", "csn_101", "slow_r50"])
def test_real_networks(backbone: str, narrow: None) -> None:
    torch.manual_seed(0)
    net = objabn.create_model(backbone, heads=1, classes=5, weights=None, clip_frames=8, clip_size=64, dropout=0.0)
    # In float64, as batch norm over so few values makes much of each rounding.
    net.double().to(memory_format=torch.channels_last_3d)
    clip = torch.randint(0, 256, (2, 3, 8, 64, 64), dtype=torch.uint8)

    def gradients() -> list[Tensor]:
        net.zero_grad()
        net(clip).logits.square().sum().backward()
        return [parameter.grad for parameter in net.parameters() if parameter.grad is not None]

    expected = gradients()
    choices = objabn.optimize(net, clip)
    assert bool(choices.ways) == (backbone != "slow_r50")
    assert_close(gradients(), expected, tolerance=1e-9)
