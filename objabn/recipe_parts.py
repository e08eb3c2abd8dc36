"""What the publications say of their settings, in parts: each some settings by `section.name`, and where they come from."""

from typing import Any, NamedTuple


class Part(NamedTuple):
    """Settings with one source."""

    source: str
    """Paper and section, the authors' code, or why we chose it."""
    settings: dict[str, Any]
    """By `section.name`."""


UCF101 = Part(
    "Object-ABN section 4.2",
    {
        "data.clip_frames": 16,
        "data.stride_frames": 4,
        "data.short_side": (256, 320),
        "data.eval_short_side": 256,
        "data.crop_size": 224,
        "data.flip_probability": 0.5,
        "model.backbone": "x3d_m",
        "model.weights": "kinetics400",
        "model.cut": 4,
        "model.apply": "product",
        "loss.branch": 1.0,
        "loss.mask": 10.0,
        "loss.background": 1.0,
        "loss.pc": 1e-4,
        "loss.pc_pull": 1.0,
        "loss.pc_push": 1e-3,
        "optim.name": "adam",
        "optim.lr": 1e-4,
        "optim.epochs": 50,
    },
)

SSV2 = Part("Object-ABN section 4.2", {"data.stride_frames": 2, "data.flip_probability": 0.0, "optim.epochs": 25})

KINETICS400 = Part(
    "our choice: the stride of X3D-M's own training there, half the epochs of UCF101", {"data.stride_frames": 5, "optim.epochs": 25}
)

FOLDER = Part("our choice: a fifth of the training groups is held out", {"data.val_fraction": 0.2})

DEMO = Part(
    "our choice: learnt within minutes on two cores; maps of 14x14 from an early cut; a flip would swap left and right",
    {
        "data.clip_frames": 8,
        "data.sampling": "stride",
        "data.augment": True,
        "data.stride_frames": 3,
        "data.short_side": (64, 72),
        "data.eval_short_side": 64,
        "data.crop_size": 56,
        "data.flip_probability": 0.0,
        "data.val_fraction": 0.0,
        "data.colour_jitter": 0.0,
        "data.colour_noise": 0.0,
        "model.backbone": "x3d_nano",
        "model.weights": "none",
        "model.cut": 2,
        "model.attention_init": "random",
        "model.dropout": 0.0,
        "optim.name": "adam",
        "optim.nesterov": False,
        "optim.lr": 3e-3,
        "optim.weight_decay": 0.0,
        "optim.clip_norm": 0.0,
        "optim.epochs": 18,
        "optim.batch": 16,
        "optim.schedule": "cosine",
        "optim.step_epochs": (),
        "optim.warmup_epochs": 1.0,
        "optim.freeze": (),
    },
)

DEMO_OBJECTS = Part(
    "our choice: the moving thing covers a twelfth of the picture, and there are minutes, not days",
    {"loss.mask": 40.0},
)

DEMO_ST_ABN = Part("our choice: learnt by then", {"optim.epochs": 30})

DEMO_SALIENCY_LSTM = Part("our choice: a tail of its own stands behind the last stage", {"model.cut": 5, "model.hidden_channels": 64})

HEADS_WITHOUT_PC = Part("Object-ABN table 1: with three maps the PC loss costs 1.2 points", {"loss.pc": 0.0})

ABN = Part("ABN section 3: two cross entropies and nothing else", {"loss.pc": 0.0})

ST_ABN = Part(
    "ST-ABN, the authors' code: st_abn_32",
    {
        "data.clip_frames": 32,
        "data.sampling": "segments",
        "data.short_side": (256, 256),
        "data.eval_short_side": 256,
        "data.crop_size": 224,
        "model.backbone": "resnet3d_50",
        "model.weights": "imagenet",
        "model.cut": 4,
        "model.map_kernel": 1,
        "model.dropout": 0.5,
        "loss.branch": 1.0,
        "loss.mask": 0.0,
        "loss.pc": 0.0,
        "optim.name": "sgd",
        "optim.lr": 0.01,
        "optim.momentum": 0.9,
        "optim.nesterov": True,
        "optim.weight_decay": 5e-4,
        "optim.batch": 64,
        "optim.clip_norm": 20.0,
        "optim.epochs": 150,
        "optim.schedule": "step",
        "optim.step_epochs": (75, 125),
        "optim.step_factor": 0.1,
    },
)

ST_ABN_COLOURS = Part(
    "ST-ABN, the authors' code: colour jitter and PCA noise, in their usual strength", {"data.colour_jitter": 0.4, "data.colour_noise": 0.1}
)

SALIENCY_LSTM = Part(
    "Meng et al., the authors' code for UCF101-24",
    {
        "data.clip_frames": 20,
        "data.sampling": "uniform",
        "data.augment": False,
        "data.crop_size": 224,
        "model.backbone": "resnet50",
        "model.weights": "imagenet",
        "model.cut": 5,
        "model.dropout": 0.2,
        "loss.branch": 0.0,
        "loss.mask": 0.0,
        "loss.pc": 0.0,
        "loss.total_variation": 1e-5,
        "loss.contrast": 1e-4,
        "loss.unimodal": 1.0,
        "optim.freeze": ("stem",),
        "optim.name": "adam",
        "optim.lr": 1e-4,
        "optim.weight_decay": 1e-4,
        "optim.batch": 30,
        "optim.epochs": 200,
        "optim.schedule": "plateau",
        "optim.plateau_epochs": 5,
    },
)

SALIENCY_LSTM_VAL = Part(
    "our choice: the authors lower the rate where the test loss stands still, which is for `val` here", {"data.val_fraction": 0.1}
)

GATED = Part(
    "Yudistira et al., the authors' code: clips of 16 frames of 112 pixels",
    {
        "data.clip_frames": 16,
        "data.stride_frames": 1,
        "data.short_side": (128, 160),
        "data.eval_short_side": 128,
        "data.crop_size": 112,
        "model.backbone": "resnext3d_101",
        "model.cut": 2,
        "loss.branch": 0.0,
        "loss.mask": 0.0,
        "loss.pc": 0.0,
    },
)

PLAIN = Part("a backbone alone has one loss", {"loss.branch": 0.0, "loss.mask": 0.0, "loss.pc": 0.0})

LITERAL = Part(
    "Object-ABN section 3.3 and 4.2, read literally",
    {"model.merge_init": "random", "model.attention_init": "random", "loss.empty_mask": "zeros"},
)

SMALL = Part(
    "our choice: a first look without a GPU",
    {
        "data.crop_size": 160,
        "data.short_side": (183, 229),
        "data.eval_short_side": 183,
        "optim.lr": 3e-4,
        "optim.batch": 5,
        "optim.epochs": 20,
    },
)

BEST = Part(
    "our choice: maps that can come near 0 and 1 from the start, whole regions, and averaged weights; measured in docs/results.md",
    {"model.map_gain": 8.0, "loss.dice": 1.0, "optim.ema": 0.98},
)
