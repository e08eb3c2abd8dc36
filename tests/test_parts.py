"""Frozen parts stay bit for bit what they were, statistics of batches included; everything else learns."""

import pytest
import torch
from torch import Tensor, nn
from toys import Toy, nano, toy_batch, toy_config

from objabn.config import Config, OptimConfig
from objabn.models.network import AttentionNetwork
from objabn.training.loop import fit
from objabn.training.parts import frozen, frozen_modules, part_of, set_training_mode, trained_share

CLASSIFIER = {"backbone.blocks.5.proj.weight", "backbone.blocks.5.proj.bias"}


def config_of(*freeze: str, dropout: float = 0.0) -> Config:
    return toy_config(optim=OptimConfig(epochs=2, batch=4, lr=1e-2, freeze=freeze), dropout=dropout)


def changed(*freeze: str) -> set[str]:
    """The tensors that two epochs with an evaluation between them change."""
    config, clips = config_of(*freeze), [toy_batch(0), toy_batch(1)]
    net, before = nano(config), nano(config).state_dict()
    fit(net, clips, config, monitor=clips, loggers=[])
    return {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}


def norms_of(net: nn.Module) -> set[str]:
    return {f"{path}.{name}" for path, module in net.named_modules() if isinstance(module, nn.BatchNorm3d) for name in module.state_dict()}


def test_every_tensor_has_a_part() -> None:
    net = nano(toy_config())  # cut at 2: blocks 0 and 1 are the stem
    parts = {part_of(net, name) for name in net.state_dict()}
    assert parts == {"stem", "tail", "classifier", "branch"}, "a single map's gate owns nothing"
    assert part_of(net, "backbone.blocks.1.res_blocks.0.branch2.conv_a.weight") == "stem"
    assert part_of(net, "backbone.blocks.2.res_blocks.0.branch2.conv_a.weight") == "tail"
    assert part_of(net, "backbone.blocks.5.proj.bias") == "classifier"
    assert part_of(net, "gate.merge.weight") == "gate"


def test_without_freezing_everything_learns() -> None:
    assert changed() == set(nano(toy_config()).state_dict())


def test_a_frozen_stem_keeps_weights_and_statistics() -> None:
    net = nano(toy_config())
    assert set(net.state_dict()) - changed("stem") == {name for name in net.state_dict() if part_of(net, name) == "stem"}


def test_the_classifier_alone_can_learn() -> None:
    assert changed("stem", "tail", "branch", "gate") == CLASSIFIER


def test_frozen_norms_are_those_of_the_backbone() -> None:
    net, moved = nano(toy_config()), changed("norms")
    assert norms_of(net) & moved == {name for name in norms_of(net) if name.startswith("branch")}
    assert {"backbone.blocks.0.conv.conv_t.weight", "branch.map_conv.weight"} < moved


def test_modules_can_be_named() -> None:
    net = nano(toy_config())
    same = set(net.state_dict()) - changed("backbone.blocks.0", "branch.map_norm")
    assert same == {name for name in net.state_dict() if name.startswith(("backbone.blocks.0.", "branch.map_norm."))}


@pytest.mark.parametrize(
    ("freeze", "is_on"),
    [(("stem", "tail"), True), (("tail", "classifier"), False), (("classifier",), False), (("backbone.blocks.5",), False)],
)
def test_the_dropout_belongs_to_the_classifier(freeze: tuple[str, ...], is_on: bool) -> None:
    net = nano(config_of(dropout=0.5))
    set_training_mode(net, frozen_modules(net, freeze))
    assert [module.training for module in net.modules() if isinstance(module, nn.Dropout)] == [is_on]


def test_a_frozen_network_answers_as_in_evaluation() -> None:
    net: AttentionNetwork = nano(config_of(dropout=0.5))
    fit(net, [toy_batch(0)], config_of(dropout=0.5), loggers=[])
    clip = toy_batch(1).clip

    def logits() -> Tensor:
        with torch.no_grad():
            return net(clip).logits

    net.eval()
    expected = logits()
    set_training_mode(net, frozen_modules(net, ("stem", "tail", "classifier", "branch", "gate")))
    assert torch.equal(logits(), expected)


def test_afterwards_everything_can_learn_again() -> None:
    config = config_of("to_map")
    net, reference = Toy(config), Toy(config)
    reference.classify.bias.requires_grad_(False)
    fit(net, [toy_batch(0)], config, loggers=[])
    assert all(parameter.requires_grad for parameter in net.parameters())
    with frozen(reference, ("classify",)):
        assert [name for name, parameter in reference.named_parameters() if parameter.requires_grad] == ["to_map.weight", "to_map.bias"]
    assert not reference.classify.bias.requires_grad, "what was frozen by hand stays so"


def test_the_number_of_trained_parameters() -> None:
    # 3 + 1 of the map, 3 * 3 + 3 of the classes.
    assert trained_share(Toy(config_of()), ["to_map"]) == "12 of 16 parameters are trained; frozen: to_map."


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"optim.freeze=norm is not possible; it must be stem, tail, .*did you mean 'norms'\?"):
        fit(nano(toy_config()), [toy_batch(0)], config_of("norm"), loggers=[])
    with pytest.raises(ValueError, match=r"did you mean 'backbone.blocks.0'\?"):
        frozen_modules(nano(toy_config()), ["backbone.block.0"])


def test_something_must_be_left_to_train() -> None:
    with pytest.raises(ValueError, match=r"optim.freeze=to_map,classify leaves nothing of the network to be trained"):
        fit(Toy(toy_config()), [toy_batch(0)], config_of("to_map", "classify"), loggers=[])
