"""Networks of every kind, small enough to be explained in a moment, and what must be as it was behind an explanation."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMerging
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple, VideoResNet
from torchvision.models.video.swin_transformer import SwinTransformer3d

from objabn.explainers import EachFrame
from objabn.models.pytorchvideo_builders import create_resnet
from objabn.models.x3d import create_x3d

CLASSES, FRAMES, SIZE = 3, 4, 64


class Weighed(nn.Module):
    """Class 0 scores the sum of its features, the clip itself, times given weights, and class 1 the opposite."""

    def __init__(self, weights_CTYX: Tensor) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.weights = nn.Parameter(weights_CTYX)

    def forward(self, clip: Tensor) -> Tensor:
        score_B = (self.features(clip) * self.weights).sum((1, 2, 3, 4))
        return torch.stack([score_B, -score_B], 1)


class SmallCNN(nn.Module):
    """Two convolutions at full resolution, an average and one linear layer: nothing has to be enlarged."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv3d(3, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Conv3d(5, channels, 3, padding=1), nn.ReLU())
        self.linear = nn.Linear(channels, CLASSES)

    def forward(self, clip: Tensor) -> Tensor:
        return self.linear(self.conv(clip).mean((2, 3, 4)))


class Described(nn.Module):
    """A network that answers as others do: with a mapping, a tuple or probabilities."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.net = SmallCNN()
        self.answer = answer

    def forward(self, clip: Tensor) -> object:
        return self.answer(self.net(clip))


def small_swin() -> nn.Module:
    return SwinTransformer3d([2, 4, 4], 8, [1, 1], [1, 2], [2, 2, 2], num_classes=CLASSES, downsample_layer=PatchMerging)


def small_vit(**settings: object) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return EachFrame(VisionTransformer(img_size=SIZE, patch_size=16, embed_dim=16, depth=3, num_heads=2, num_classes=CLASSES, **settings))


def small_timm(name: str, **settings: object) -> nn.Module:
    import timm

    return EachFrame(timm.create_model(name, num_classes=CLASSES, **settings))


def small_mvit() -> nn.Module:
    from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers

    return create_multiscale_vision_transformers(
        spatial_size=SIZE,
        temporal_size=FRAMES,
        depth=3,
        patch_embed_dim=16,
        head_num_classes=CLASSES,
        embed_dim_mul=[[1, 2.0]],
        atten_head_mul=[[1, 2.0]],
        pool_q_stride_size=[[1, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 2, 2],
        pool_kvq_kernel=[3, 3, 3],
    )


PLAIN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "r3d": (lambda: VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1] * 4, BasicStem, num_classes=CLASSES), "layer4"),
    "x3d": (lambda: create_x3d(input_clip_length=FRAMES, input_crop_size=SIZE, model_num_class=CLASSES, depth_factor=0.2), "blocks.4"),
    "slow": (lambda: create_resnet(model_num_class=CLASSES, stem_dim_out=8, head_pool_kernel_size=(4, 2, 2)), "blocks.4"),
    "mvit": (small_mvit, "blocks.1"),
    "swin3d": (small_swin, "norm"),
    "vit": (small_vit, "net.blocks.1"),
    "vit_mean": (lambda: small_vit(global_pool="avg", class_token=False), "net.norm"),
    "convnext": (lambda: small_timm("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)), "net.norm_pre"),
    "resnet": (lambda: small_timm("resnet18"), "net.layer4"),
    "mapping": (lambda: Described(lambda logits: {"features": None, "logits": logits}), "net.conv"),
    "tuple": (lambda: Described(lambda logits: (logits, "and more")), "net.conv"),
    "softmax": (lambda: Described(lambda logits: logits.softmax(1)), "net.conv"),
}
"""Networks that are none of ours, each with the layer that is to be found."""


class State(NamedTuple):
    """What an explanation must leave as it was."""

    modes: list[bool]
    hooks: list[int]
    asks: list[bool]
    gradients: list[Tensor | None]
    records: bool


def state_of(net: nn.Module) -> State:
    """Return what an explanation of a network must leave as it was."""
    modules, weights = list(net.modules()), list(net.parameters())
    return State(
        [module.training for module in modules],
        [len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks) for module in modules],
        [weight.requires_grad for weight in weights],
        [weight.grad for weight in weights],
        torch.is_grad_enabled(),
    )
