"""The settings of a run: frozen dataclasses with a docstring under each field, which says what it does and in which unit."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which clips are seen, and how they are cut out of the videos."""

    dataset: str = "ucf101"
    """Name or folder of a packed dataset."""
    fold: int = 1
    """Official split, 1-based."""
    clip_frames: int = 16
    """Frames of a clip."""
    sampling: Literal["stride", "segments", "uniform"] = "stride"
    """`stride`: neighbours `stride_frames` apart; `segments`: one frame from each of `clip_frames` equal parts of the video, at random
    in training and the middle one in evaluation (TSN); `uniform`: equally spaced from the first frame, the same each time."""
    stride_frames: int = 4
    """Distance between neighbouring frames of a clip."""
    frames_per_second: float = 0.0
    """Rate at which `stride_frames` counts: videos of any other rate are read as if they had this one; 0 counts a video's own frames."""
    short_videos: Literal["repeat", "loop"] = "repeat"
    """With `stride`: what fills a clip from a video too short for it: its last frame again and again, or the video from its start."""
    short_side: tuple[int, int] = (256, 320)
    """Training: the short side is drawn uniformly from this range of pixels, both ends included."""
    eval_short_side: int = 256
    """Evaluation: the short side in pixels."""
    crop_size: int = 224
    """Side of the square crop in pixels: random in training, central in evaluation unless `views` asks for several."""
    views: tuple[int, int] = (1, 1)
    """Evaluation: clips of a video, spread evenly in time, and crops of each, spread evenly along the longer side."""
    flip_probability: float = 0.5
    """Chance of a horizontal flip in training; 0 where left and right have a meaning."""
    val_fraction: float = 0.0
    """Part of the training groups held out as the subset `val`."""
    loader: Literal["dali", "reader"] = "dali"
    """`dali`, or `reader`: the same batches from PyAV and PyTorch, without DALI."""
    decode: Literal["auto", "cpu", "hybrid", "gpu"] = "auto"
    """Where DALI decodes and warps: `hybrid` decodes on the CPU and warps on the GPU; `auto` tries what the machine has."""
    threads: int = 0
    """Threads of the loader; 0 takes one per core, divided among the ranks on one machine."""
    prefetch: int = 2
    """Batches prepared ahead."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot give a clip."""
        check_choices("data", self)
        check("data.fold", self.fold, self.fold >= 1, "at least 1")
        check("data.clip_frames", self.clip_frames, self.clip_frames >= 1, "at least 1")
        check("data.stride_frames", self.stride_frames, self.stride_frames >= 1, "at least 1")
        low, high = self.short_side
        check("data.short_side", self.short_side, self.crop_size <= low <= high, f"low <= high, low >= crop_size={self.crop_size}")
        check("data.eval_short_side", self.eval_short_side, self.eval_short_side >= self.crop_size, f"at least crop_size={self.crop_size}")
        check("data.flip_probability", self.flip_probability, 0 <= self.flip_probability <= 1, "a number in [0, 1]")
        check("data.frames_per_second", self.frames_per_second, self.frames_per_second >= 0, "0 (the video's own) or more")
        rate, has_stride = self.frames_per_second, self.sampling == "stride"
        check("data.frames_per_second", rate, has_stride or not rate, f"0 with sampling={self.sampling}")
        check("data.short_videos", self.short_videos, has_stride or self.short_videos == "repeat", f"repeat with sampling={self.sampling}")
        check("data.views", self.views, min(self.views) >= 1, "two numbers of at least 1: clips, crops")
        check("data.val_fraction", self.val_fraction, 0 <= self.val_fraction < 1, "a number in [0, 1)")
        check("data.threads", self.threads, self.threads >= 0, "0 (one per core) or more")
        check("data.prefetch", self.prefetch, self.prefetch >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network. `objabn.create_model` takes the same names."""

    backbone: str = "x3d_m"
    """Name of the network that is cut in two; a wrong one is answered with all names."""
    system: Literal["abn", "object_abn"] = "object_abn"
    """Which published attention system sits in the backbone."""
    heads: int = 1
    """Attention maps: 1 is M_o; 3 is M_u, M_o, M_b; further ones are free."""
    weights: str = "kinetics400"
    """`kinetics400` (download, cached), a path (of backbone weights, or of a run or model of objabn), or `none`."""
    replace_classes: bool = False
    """Fine-tuning from a model of objabn with other classes: begin the layers that depend on them afresh."""
    cut: int = 4
    """The stem is the backbone's first `cut` blocks; 4 is after the third stage (Object-ABN section 4.2)."""
    attention_blocks: Literal["next", "same"] = "next"
    """Residual blocks of the branch shaped like the next stage (96 -> 192 channels) or like the stem's last one."""
    attention_init: Literal["pretrained", "random"] = "pretrained"
    """Start the branch's blocks from the backbone's own, or afresh."""
    class_head: Literal["conv", "gap"] = "conv"
    """Branch class scores by a further 1x1x1 convolution (ABN) or straight from the shared one."""
    map_kernel: Literal[1, 3] = 1
    """Spatial kernel of the map convolution."""
    apply: Literal["product", "residual"] = "product"
    """A single map gates as h * M (Object-ABN eq. 1) or h * (1 + M) (ABN)."""
    merge_init: Literal["mean", "random"] = "mean"
    """Start of the convolution that merges several gated copies: their mean, or PyTorch's default."""
    dropout: float = 0.5
    """Dropout before the classifier."""

    def __post_init__(self) -> None:
        """Refuse networks without a map and cuts outside the stages."""
        check_choices("model", self)
        check("model.heads", self.heads, self.heads >= 1, "at least 1 (3 gives the maps M_u, M_o, M_b)")
        check("model.heads", self.heads, self.heads != 2, "1, or 3 and more (M_u, M_o, M_b, M_3, ...)")
        check("model.heads", self.heads, self.system != "abn" or self.heads == 1, "1 with system abn; several maps belong to object_abn")
        check("model.apply", self.apply, self.apply == "product" or self.heads == 1, "product with several maps, which gate by their merge")
        check("model.cut", self.cut, 2 <= self.cut <= 4, "2, 3 or 4: after the first, second or third stage")
        check("model.dropout", self.dropout, 0 <= self.dropout < 1, "a number in [0, 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """Weights and readings of the losses (Object-ABN section 4.2, eq. 3, 7-10); a weight of 0 switches a term off."""

    branch: float = 1.0
    """Cross entropy of the attention branch (lambda)."""
    mask: float = 10.0
    """Mask loss on M_o, one head (lambda_mask), or the multi-head mask loss (lambda_mha)."""
    background: float = 1.0
    """M_b within the multi-head mask loss (lambda_b)."""
    pc: float = 1e-4
    """Prototype conformity loss (lambda_PC)."""
    pc_pull: float = 1.0
    """Pull to the own prototype (lambda_PC1)."""
    pc_push: float = 1e-3
    """Push from the other prototypes (lambda_PC2)."""
    pc_form: Literal["paper", "official"] = "paper"
    """`paper`: norms, with the centre term; `official`: squared distances, two sets of centres, no centre term."""
    pc_pool: Literal["gap", "flatten"] = "gap"
    """Features to a vector: mean over frames and grid, or all of them."""
    mask_target: Literal["hard", "soft"] = "hard"
    """Coverage >= 0.5 as {0, 1} (the paper), or the coverage itself."""
    empty_mask: Literal["ignore", "zeros"] = "ignore"
    """Frames without a detection are left out, or count as empty (the literal reading)."""
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes, in both cross entropies."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs every class by the inverse of its number of training videos, in both cross entropies."""

    def __post_init__(self) -> None:
        """Refuse negative weights."""
        check_choices("loss", self)
        check_not_negative("loss", self, "branch", "mask", "background", "pc", "pc_pull", "pc_push")
        check("loss.label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "a number in [0, 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """How the weights move."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimiser."""
    lr: float = 1e-4
    """Learning rate at its highest."""
    momentum: float = 0.9
    """Momentum of `sgd`."""
    weight_decay: float = 0.0
    """Never applied to prototypes, norms and biases."""
    epochs: int = 50
    """Passes over the training subset."""
    batch: int = 16
    """Clips of one step, over all ranks; gradients are accumulated over `accumulate` loader batches of batch / accumulate."""
    accumulate: int = 1
    """Loader batches of one optimiser step; must divide `batch`. The mask term is a mean over the valid frames of each of them."""
    clip_norm: float = 0.0
    """Largest gradient norm; 0 is no clipping."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """Learning rate over the run, after the warm-up."""
    warmup_epochs: float = 0.0
    """Linear rise of the learning rate."""
    step_epochs: tuple[int, ...] = ()
    """`step`: the epochs at which the learning rate is multiplied by `step_factor`."""
    step_factor: float = 0.1
    """See `step_epochs`."""
    backbone_factor: float = 1.0
    """Learning rate of the backbone (stem and tail without the classifier) as a multiple of `lr`; 0 leaves its weights as they are."""
    branch_factor: float = 1.0
    """Learning rate of the attention branch and the gate as a multiple of `lr`."""
    freeze: tuple[str, ...] = ()
    """Parts that stay as they are, batch statistics included: stem, tail (without the classifier), classifier, branch, gate, norms
    (the batch norms of stem and tail), or modules by their names in the network."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is what is evaluated and kept; 0 is none."""
    patience_epochs: int = 0
    """Stop after so many epochs without a better result on `val` (accuracy, then NLL); 0 is never."""

    def __post_init__(self) -> None:
        """Refuse rates and sizes that cannot train, and steps of the learning rate that would not be taken."""
        check_choices("optim", self)
        check("optim.lr", self.lr, self.lr > 0, "above 0")
        check("optim.epochs", self.epochs, self.epochs >= 1, "at least 1")
        check("optim.batch", self.batch, self.batch >= 1, "at least 1")
        check_not_negative("optim", self, "weight_decay", "clip_norm", "warmup_epochs", "step_factor")
        check_not_negative("optim", self, "backbone_factor", "branch_factor", "patience_epochs")
        check("optim.momentum", self.momentum, 0 <= self.momentum < 1, "a number in [0, 1)")
        has_steps = self.schedule == "step"
        allowed = f"{'one epoch or more' if has_steps else 'empty'} with schedule={self.schedule}"
        check("optim.step_epochs", self.step_epochs, bool(self.step_epochs) == has_steps, allowed)
        check("optim.ema", self.ema, 0 <= self.ema < 1, "a number in [0, 1)")
        check(
            "optim.accumulate",
            self.accumulate,
            self.accumulate >= 1 and self.batch % self.accumulate == 0,
            f"a divisor of batch={self.batch}",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """Where and how a run is carried out; but for the seed, nothing here changes what is learnt beyond rounding."""

    seed: int = 0
    """Of the sampling plan, the initial weights and dropout."""
    device: str = "auto"
    """`auto` (the GPU where there is one), `cpu`, `cuda`, `cuda:1`."""
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Autocast; `auto` is bf16 on a GPU that has it, else off."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; `auto` compiles on a GPU."""
    log_steps: int = 10
    """A line in log.jsonl and on screen every so many steps."""
    checkpoint_steps: int = 0
    """Further checkpoints every so many steps; 0 is at the end of each epoch only."""
    checkpoint_minutes: float = 20.0
    """Further checkpoints after so many minutes; 0 is never."""
    evaluate_epochs: int = 1
    """Evaluate the monitored subset every so many epochs, and after the last one; 0 is after the last one only."""
    deterministic: bool = False
    """Only algorithms that give the same bits each time, at the price of speed; on a CPU runs are repeatable without it."""
    log_to: tuple[str, ...] = ()
    """Further places for the numbers, beside log.jsonl and the screen: tensorboard, wandb."""

    def __post_init__(self) -> None:
        """Refuse places that do not exist and numbers below zero."""
        check_choices("run", self)
        check("run.seed", self.seed, 0 <= self.seed < 2**32, "from 0 to 4294967295")
        check_not_negative("run", self, "log_steps", "checkpoint_steps", "checkpoint_minutes", "evaluate_epochs")
        check("run.log_to", ",".join(self.log_to), {"tensorboard", "wandb"}.issuperset(self.log_to), "tensorboard, wandb or both")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A complete run."""

    recipe: str = "default"
    """The recipe these settings began from."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def grid_size(self) -> int:
        """Side of the attention grid: each block of an X3D stem halves the picture, rounding up."""
        return -(-self.data.crop_size // 2**self.model.cut)


def check(name: str, value: object, is_valid: bool, allowed: str) -> None:
    """Raise ValueError with what was given and what is allowed."""
    if not is_valid:
        raise ValueError(f"{name}={value} is not possible; it must be {allowed}.")


def check_not_negative(section: str, config: Any, *names: str) -> None:
    """Raise ValueError where one of these settings is below zero."""
    for name in names:
        check(f"{section}.{name}", getattr(config, name), getattr(config, name) >= 0, "0 or more")


def check_choices(section: str, config: Any) -> None:
    """Raise ValueError where a setting is none of the values that its type lists."""
    for setting in fields(config):
        if get_origin(setting.type) is Literal:
            value, choices = getattr(config, setting.name), get_args(setting.type)
            check(f"{section}.{setting.name}", value, value in choices, " or ".join(map(str, choices)))
