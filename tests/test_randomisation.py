"""The randomisation check: maps that do not change are found out, networks stay as they are, every weight is forgotten in its turn."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from toys import nano, toy_batch, toy_config

from objabn.explainers import Explanation, Subject, subject_of
from objabn.explainers.explanation import class_map
from objabn.explainers.subject import chosen_classes
from objabn.faithfulness import randomisation_check
from objabn.faithfulness.forgetting import REST, Stage, forget, stages_from_top


class Small(nn.Module):
    """Two convolutions, a normalisation, a token that belongs to no layer, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classify = nn.Linear(4, 3)
        self.token = nn.Parameter(torch.ones(4, 1, 1, 1))
        self.first = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU())
        self.second = nn.Conv3d(4, 4, 3, padding=1)

    def forward(self, clip: Tensor) -> Tensor:
        return self.classify((self.second(self.first(clip) + self.token).relu() ** 2).mean((2, 3, 4)))


def edges(subject: Subject, clip: Tensor, classes: Tensor | None, *, power: int = 1) -> Explanation:
    """How steep a clip is along its rows: a map that asks the network nothing but its answer."""
    with torch.no_grad():
        logits = subject.scores(clip)
    steep = nn.functional.pad(clip.float().mean(1).diff(dim=-1).abs(), (0, 1)) ** power
    return class_map(steep, clip, name="edges", logits_BK=logits, classes_B=chosen_classes(logits, classes))


def slopes(subject: Subject, clip: Tensor, classes: Tensor | None) -> Explanation:
    """The magnitude of the gradient at the clip."""
    clip = clip.clone().requires_grad_()
    logits = subject.scores(clip)
    chosen = chosen_classes(logits, classes)
    (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), clip)
    return class_map(gradient.abs().sum(1), clip, name="slopes", logits_BK=logits, classes_B=chosen)


@pytest.fixture
def clip() -> Tensor:
    return torch.rand(2, 3, 2, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cascade", [True, False])
def test_an_edge_detector_is_found_out(clip: Tensor, cascade: bool) -> None:
    found = randomisation_check(Small().eval(), clip, edges, cascade=cascade, power=2)
    assert found.stages == ("classify", "second", "first", REST)
    assert found.names == ("edges",)
    assert found.spearman.shape == found.ssim.shape == (4, 2, 1)
    torch.testing.assert_close(found.spearman, torch.ones(4, 2, 1, dtype=torch.float64))
    torch.testing.assert_close(found.ssim, torch.ones(4, 2, 1))


def test_gradients_lose_what_was_learnt_and_the_network_loses_nothing(clip: Tensor) -> None:
    net = Small().train()
    before, state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    found = randomisation_check(net.eval(), clip, slopes)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert (found.spearman[-1].abs() < 0.5).all()
    assert (found.ssim[-1] < 0.9).all()
    again = randomisation_check(net, clip, slopes)
    assert torch.equal(again.spearman, found.spearman), "the same numbers every time"
    assert not torch.equal(randomisation_check(net, clip, slopes, seed=9).spearman, found.spearman)


def test_the_explained_class_stays_the_one_the_whole_network_saw(clip: Tensor) -> None:
    net, asked = Small().eval(), []

    def noting(subject: Subject, clip: Tensor, classes: Tensor | None) -> Explanation:
        found = edges(subject, clip, classes)
        asked.append(found.classes.tolist())
        return found

    randomisation_check(net, clip, noting)
    assert asked == [net(clip).argmax(1).tolist()] * 5


def test_a_map_that_becomes_flat_is_not_alike_and_one_that_always_was_says_nothing(clip: Tensor) -> None:
    def until_forgotten(count: int) -> Callable[..., Explanation]:
        calls = []

        def method(subject: Subject, clip: Tensor, classes: Tensor | None) -> Explanation:
            calls.append(clip)
            return edges(subject, clip * (len(calls) <= count), classes)

        return method

    assert randomisation_check(Small().eval(), clip, until_forgotten(2)).spearman[:, 0, 0].tolist() == pytest.approx([1, 0, 0, 0])
    assert randomisation_check(Small().eval(), clip, until_forgotten(0)).spearman.isnan().all()


def test_attention_depends_on_the_branch_and_what_is_below_alone() -> None:
    net = nano(toy_config()).eval()
    found = randomisation_check(net, toy_batch(0, clips=2).clip)
    place = found.stages.index("branch")
    assert found.stages[0] == "backbone.blocks.5", "the part with the classifier"
    assert found.stages[place + 1 :] == ("backbone.blocks.1", "backbone.blocks.0")
    torch.testing.assert_close(found.spearman[:place], torch.ones(place, 2, 1, dtype=torch.float64))
    assert (found.spearman[place:] < 0.9).all()


def test_stages_hold_every_weight_once() -> None:
    for net, shape in ((Small(), (1, 3, 2, 8, 8)), (nano(toy_config()), (1, 3, 4, 32, 32))):
        stages = stages_from_top(subject_of(net.eval()), torch.zeros(shape))
        held = [parameter for stage in stages for name in stage.modules for parameter in net.get_submodule(name).parameters(recurse=False)]
        assert len(held) == len({id(parameter) for parameter in held}) == len(list(net.parameters()))


def test_a_stage_forgets_alone_and_altogether() -> None:
    net = Small()
    net.first[1].running_mean.fill_(5)
    for parameter in net.parameters():
        nn.init.constant_(parameter, 3)
    forget(net, Stage("first", ("first", "first.0", "first.1", "first.2")), seed=0)
    assert (net.first[0].weight.abs() < 1).all()
    assert net.first[1].weight.tolist() == [1] * 4
    assert net.first[1].running_mean.tolist() == [0] * 4
    assert (net.second.weight == 3).all()
    assert (net.token == 3).all()
    forget(net, Stage(REST, ("",)), seed=0)
    assert (net.token.abs() < 0.2).all()
    assert (net.classify.weight == 3).all(), "only the network's own weights, not those of its parts"


def test_a_network_without_weights_cannot_forget(clip: Tensor) -> None:
    class Means(nn.Module):
        def forward(self, clip: Tensor) -> Tensor:
            return clip.mean((2, 3, 4))

    with pytest.raises(ValueError, match="no weights that it could forget"):
        randomisation_check(Means(), clip, edges)
