"""Class activation maps by gradients at one layer: Grad-CAM, Grad-CAM++ and Layer-CAM, over volumes."""

from typing import Literal

import torch
from torch import Tensor

from objabn.explainers.evidence import evidence
from objabn.explainers.explanation import Explanation, class_map
from objabn.explainers.subject import Subject
from objabn.models.network import for_each_frame


def gradcam(
    subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None, *, pool: Literal["clip", "frame"] = "clip"
) -> Explanation:
    """Return relu(sum_k alpha_k A_k), where alpha_k is the mean of a class's gradient over channel k (Selvaraju et al. 2017, eq. 1 and 2).

    The mean runs over frames, rows and columns. With `pool="frame"` each frame of the features has weights of its own, the mean over its
    rows and columns, and stands unblended for the frames of the clip that it was made of, as in the code of Li et al. (2021).
    """
    if pool not in ("clip", "frame"):
        raise ValueError(f"pool={pool!r} is not possible; it must be clip (one weight a channel) or frame (one for each of its frames).")
    seen = evidence(subject, clip_BCTYX, classes_B)
    weights = seen.gradient.mean((2, 3, 4) if pool == "clip" else (3, 4), keepdim=True)
    cam_Btyx = (weights * seen.features).sum(1).relu()
    if pool == "frame":
        cam_Btyx = for_each_frame(cam_Btyx, clip_BCTYX.shape[2], axis=1)
    return class_map(cam_Btyx, clip_BCTYX, name="gradcam", logits_BK=seen.scores, classes_B=seen.classes)


def gradcam_plus_plus(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None, *, eps: float = 0.0) -> Explanation:
    """Return relu(sum_k w_k A_k) with w_k = sum_x a relu(g) and a = g^2 / (2 g^2 + g^3 sum_x A_k + eps), 0 where g is 0.

    g is the gradient of the class's score and x runs over frames, rows and columns (Chattopadhyay et al. 2018, eq. 19 and 7; the
    factor exp(score) of its gradients is the same for all channels and falls to the stretch). g^2 is cancelled before it can
    underflow. pytorch-grad-cam adds eps = 1e-6, which outweighs g^2 where features are pooled over many places: there it
    is a weighting by g^3, and not the printed equation.
    """
    seen = evidence(subject, clip_BCTYX, classes_B)
    slope = seen.gradient
    divisor = 2 + slope * seen.features.sum((2, 3, 4), keepdim=True)
    if eps:
        divisor = divisor + eps / slope.square()
    is_counted = (slope > 0) & (divisor != 0)
    weights = torch.where(is_counted, slope / divisor, 0).sum((2, 3, 4), keepdim=True)
    cam_Btyx = (weights * seen.features).sum(1).relu()
    return class_map(cam_Btyx, clip_BCTYX, name="gradcam++", logits_BK=seen.scores, classes_B=seen.classes)


def layercam(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None) -> Explanation:
    """Return relu(sum_k relu(g_k) A_k): every place is weighed by its own gradient (Jiang et al. 2021, eq. 5 and 6).

    It is meant for early layers too, where one weight for a whole channel says little; name one by `layer`.
    """
    seen = evidence(subject, clip_BCTYX, classes_B)
    cam_Btyx = (seen.gradient.relu() * seen.features).sum(1).relu()
    return class_map(cam_Btyx, clip_BCTYX, name="layercam", logits_BK=seen.scores, classes_B=seen.classes)
