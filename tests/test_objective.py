"""The total is the weighted sum of Object-ABN eq. 9 and 10, with the terms that belong to the network's maps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from toys import Recorder, Toy, toy_batch, toy_config
from videos import class_folders, packed

import objabn
from objabn.config import LossConfig, OptimConfig
from objabn.data.reader import reader
from objabn.losses import dice_loss, mask_loss, multi_head_mask_loss
from objabn.models.network import AttentionNetwork
from objabn.objective import Losses, balanced_weights, build_objective
from objabn.regularisers import contrast, temporal_variation, total_variation
from objabn.training.loop import fit
from objabn.types import Batch, Output


def network(**settings: object) -> AttentionNetwork:
    with torch.device("meta"):
        return objabn.create_model("x3d_nano", **{"classes": 3, "weights": None, "clip_frames": 2, "clip_size": 64, **settings})


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    count = torch.zeros(2, dtype=torch.int64)
    return Batch(
        clip=torch.zeros(2, 3, 2, 64, 64, dtype=torch.uint8),
        mask=torch.rand(2, 2, 4, 4, generator=generator),
        mask_valid=torch.tensor([[True, False], [True, True]]),
        label=torch.tensor([2, 0]),
        video=count,
        frames=count[:, None].expand(2, 2),
        view=count,
        present=torch.ones(2, dtype=torch.bool),
    )


def output(heads: int, channels: int) -> Output:
    generator = torch.Generator().manual_seed(1)
    return Output(
        logits=torch.randn(2, 3, generator=generator),
        branch_logits=torch.randn(2, 3, generator=generator),
        maps=torch.rand(2, heads, 2, 4, 4, generator=generator),
        features=torch.randn(2, channels, 2, 4, 4, generator=generator),
        frame_weights=None,
    )


def terms(config: LossConfig, **settings: object) -> tuple[Losses, Output]:
    net = network(**settings)
    answer = output(len(net.map_names), net.feature_channels)
    torch.manual_seed(2)
    return build_objective(config, net)(answer, batch()), answer


@pytest.mark.parametrize(("heads", "empty_mask"), [(1, "ignore"), (1, "zeros"), (3, "ignore"), (3, "zeros")])
def test_total_is_the_weighted_sum(heads: int, empty_mask: str) -> None:
    config = LossConfig(branch=0.5, mask=10.0, background=0.25, pc=0.01, empty_mask=empty_mask)
    losses, answer = terms(config, heads=heads)
    given = batch()
    valid = given.mask_valid if empty_mask == "ignore" else None
    assert answer.branch_logits is not None
    torch.testing.assert_close(losses.perception, functional.cross_entropy(answer.logits, given.label))
    torch.testing.assert_close(losses.branch, functional.cross_entropy(answer.branch_logits, given.label))
    expected = (
        mask_loss(answer.maps[:, 0], given.mask, valid)
        if heads == 1
        else multi_head_mask_loss(answer.maps, given.mask, valid, background_weight=0.25)
    )
    torch.testing.assert_close(losses.mask, expected)
    assert losses.pc > 0
    torch.testing.assert_close(losses.total, losses.perception + 0.5 * losses.branch + 10 * losses.mask + 0.01 * losses.pc)


def test_abn_has_no_mask_loss() -> None:
    losses, _ = terms(LossConfig(), system="abn")
    assert losses.mask.item() == 0.0


def test_terms_that_are_off_are_zero_and_own_nothing() -> None:
    config = LossConfig(branch=0, mask=0, pc=0)
    losses, _ = terms(config)
    assert [value.item() for value in losses[2:]] == [0.0] * 8
    assert torch.equal(losses.total, losses.perception)
    assert list(build_objective(config, network()).parameters()) == []


def test_regularisers_join_the_sum_and_the_log() -> None:
    config = LossConfig(mask=0, pc=0, total_variation=0.1, contrast=0.2, unimodal=3.0)
    net, answer = network(), output(1, 96)._replace(frame_weights=torch.tensor([[0.4, 0.1, 0.4, 0.1]] * 2))
    objective = build_objective(config, net)
    losses = objective(answer, batch())
    torch.testing.assert_close(losses.total_variation, total_variation(answer.maps))
    torch.testing.assert_close(losses.contrast, contrast(answer.maps))
    assert losses.unimodal.item() == pytest.approx(0.15)
    added = 0.1 * losses.total_variation + 0.2 * losses.contrast + 0.45
    torch.testing.assert_close(losses.total, losses.perception + losses.branch + added)
    assert set(Losses._fields) - set(objective.logged_terms) == {"dice", "temporal_variation"}
    official = build_objective(replace(config, regularisers="official"), net)(answer, batch())
    torch.testing.assert_close(official.total_variation, 2 * losses.total_variation)
    assert official.unimodal.item() == pytest.approx(0.15**0.5 / 2)


def test_dice_joins_the_sum_for_one_map_and_for_three() -> None:
    for heads in (1, 3):
        losses, answer = terms(LossConfig(mask=0, pc=0, dice=2.0, background=0.5), heads=heads)
        valid, mask = batch().mask_valid, batch().mask
        expected = dice_loss(answer.maps[:, heads // 2], mask, valid)
        if heads == 3:
            expected = expected + 0.5 * dice_loss(answer.maps[:, 2], 1 - (mask >= 0.5).float(), valid)
        torch.testing.assert_close(losses.dice, expected)
        torch.testing.assert_close(losses.total, losses.perception + losses.branch + 2 * expected)


def test_flicker_joins_the_sum() -> None:
    losses, answer = terms(LossConfig(mask=0, pc=0, temporal_variation=3.0))
    torch.testing.assert_close(losses.total, losses.perception + losses.branch + 3 * temporal_variation(answer.maps))


def test_what_pulls_to_masks_rises_from_the_first_step() -> None:
    config = LossConfig(pc=0, dice=1.0, mask_warmup_epochs=2.0)
    objective = build_objective(config, network())
    for epochs, share in ((0.5, 0.25), (2.0, 1.0), (3.0, 1.0)):
        objective.warm_up(epochs)
        losses = objective(output(1, 96), batch())
        torch.testing.assert_close(losses.total, losses.perception + losses.branch + share * 10 * losses.mask + losses.dice)
        assert losses.dice.item() == pytest.approx(share * terms(LossConfig(pc=0, dice=1.0))[0].dice.item())
    assert "mask_rise" not in objective.state_dict()


def test_the_warm_up_follows_the_steps() -> None:
    settings = replace(toy_config(), loss=LossConfig(mask_warmup_epochs=1.0, pc=0))
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("objabn.objective.Objective.warm_up", lambda _self, epochs: seen.append(epochs))
        fit(Toy(settings), [toy_batch(0), toy_batch(1)], settings, loggers=[])
    assert seen[:3] == [0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    ("form", "squared", "centred", "shared"),
    [("paper", False, True, True), ("squared", True, True, True), ("uncentred", False, False, True), ("official", True, False, False)],
)
def test_forms_of_the_pc_loss(form: str, squared: bool, centred: bool, shared: bool) -> None:
    loss = build_objective(LossConfig(pc_form=form), network()).pc_loss
    assert (loss.squared, loss.center_term, loss.push_prototypes is None) == (squared, centred, shared)


def test_a_regulariser_is_in_the_log_where_it_is_on() -> None:
    plain = ("loss", "perception", "branch", "mask", "pc")
    for config, names in ((LossConfig(), plain), (LossConfig(contrast=1e-4), (*plain, "contrast"))):
        settings, recorder = replace(toy_config(), loss=config), Recorder()
        result = fit(Toy(settings), [toy_batch(0)], settings, loggers=[recorder])
        assert tuple(result.losses) == names
        for record in recorder.records:
            assert {"contrast", "total_variation", "unimodal"} & set(record) == set(names) - set(plain)


def test_one_peak_needs_weights_of_frames() -> None:
    with pytest.raises(ValueError, match=r"loss.unimodal=1.0 needs weights of frames, which this network does not give"):
        terms(LossConfig(unimodal=1.0))
    merging = network()
    merging.backbone.frame_stride = 2
    with pytest.raises(ValueError, match=r"loss.unimodal=1.0 compares the weights of neighbouring frames, and x3d_nano has one for"):
        build_objective(LossConfig(unimodal=1.0), merging)


def test_smoothed_labels_by_hand() -> None:
    # Of 3 classes a smoothing of 0.3 leaves 0.8 on the true one and puts 0.1 on each other one.
    losses, answer = terms(LossConfig(mask=0, pc=0, label_smoothing=0.3))
    for logits_BK, loss in ((answer.logits, losses.perception), (answer.branch_logits, losses.branch)):
        target_BK = torch.full((2, 3), 0.1)
        target_BK[[0, 1], [2, 0]] = 0.8
        torch.testing.assert_close(loss, -(target_BK * logits_BK.log_softmax(1)).sum(1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_rare_classes_weigh_more_by_hand(smoothing: float) -> None:
    # 6 videos in 2 of 3 classes: weights 6 / (2 * 4) and 6 / (2 * 2), whose mean over the six videos is 1.
    net, answer = network(), output(1, 96)
    config = LossConfig(mask=0, pc=0, class_weights="balanced", label_smoothing=smoothing)
    losses = build_objective(config, net, class_counts=[4, 0, 2])(answer, batch())
    for logits_BK, loss in ((answer.logits, losses.perception), (answer.branch_logits, losses.branch)):
        each_B = functional.cross_entropy(logits_BK, batch().label, label_smoothing=smoothing, reduction="none")
        torch.testing.assert_close(loss, (1.5 * each_B[0] + 0.75 * each_B[1]) / 2)
    assert list(build_objective(config, net, class_counts=[4, 0, 2]).state_dict()) == [], "a checkpoint needs no weights"


def test_weights_of_classes_have_a_mean_of_one_and_none_is_infinite() -> None:
    weight_K = balanced_weights([4, 0, 2])
    assert weight_K.tolist() == [0.75, 0.0, 1.5]
    assert balanced_weights([3, 3]).tolist() == [1.0, 1.0]


def test_balanced_classes_need_their_numbers() -> None:
    config = replace(toy_config(), loss=LossConfig(class_weights="balanced"))
    with pytest.raises(ValueError, match="class_weights=balanced needs the number of training videos of each class"):
        fit(Toy(config), [toy_batch(0)], config, loggers=[])


def test_the_loader_counts_its_training_videos(tmp_path: Path) -> None:
    dataset = packed(class_folders(tmp_path / "videos", frames=(9,) * 5), tmp_path)
    config = toy_config(optim=OptimConfig(batch=2))
    config = replace(config, data=replace(config.data, val_fraction=0.4))
    assert reader(dataset, toy_config()).class_counts == (2, 3)
    train, val = (reader(dataset, config, subset=subset).class_counts for subset in ("train", "val"))
    assert sum(train) < 5
    assert tuple(map(sum, zip(train, val, strict=True))) == (2, 3)


@pytest.mark.parametrize(("pool", "length"), [("gap", 96), ("flatten", 96 * 2 * 4 * 4)])
def test_prototypes_are_as_long_as_the_pooled_features(pool: str, length: int) -> None:
    objective = build_objective(replace(LossConfig(), pc_pool=pool), network())
    assert [tuple(value.shape) for value in objective.parameters()] == [(3, length)]
    official = build_objective(replace(LossConfig(), pc_form="official", pc_pool=pool), network())
    assert [tuple(value.shape) for value in official.parameters()] == [(3, length)] * 2
