"""Explaining a clip by Grad-CAM, Grad-CAM++, Layer-CAM and Score-CAM beside pytorch-grad-cam and captum, and memory over many clips."""

import contextlib
import importlib
import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.result import Row, measure, timings_row
from objabn.explainers import explain
from objabn.explainers.explanation import enlarge
from objabn.models.x3d import create_x3d  # pytorchvideo's own, imported there without its warnings

LAYER = "blocks.4"
CLASSES = 400
PEERS = {"gradcam": "GradCAM", "gradcam++": "GradCAMPlusPlus", "layercam": "LayerCAM", "scorecam": "ScoreCAM"}
"""Our methods by their names in pytorch-grad-cam."""
Explain = Callable[[nn.Module, Tensor], object]


def run(
    *,
    device: str = "cpu",
    frames: int = 16,
    size: int = 224,
    repeats: int = 5,
    score_size: int | None = None,
    score_repeats: int = 3,
    memory_clips: int = 500,
    memory_size: int = 64,
) -> list[Row]:
    """Compare explanations of one clip by pytorchvideo's X3D-M, the layer named, the predicted class, maps on the grid of the clip.

    Each side is called as its users do, and enlarges as it does: pytorch-grad-cam by cubic splines on the CPU, captum, whose users
    must know the class and therefore ask the network first, trilinearly, as ours. Score-CAM takes a pass for each of 192 channels,
    so that on a CPU its clips are half as large unless `score_size` says otherwise. Memory is that of the process, or
    of the GPU, over `memory_clips` clips.
    """
    torch.manual_seed(0)
    score_size = score_size or (size if device.startswith("cuda") else size // 2)
    net, clip = x3d_m(frames, size, device), torch.randn(1, 3, frames, size, size, device=device)
    rows = [row for method in ("gradcam", "gradcam++", "layercam") for row in timed(method, net, clip, repeats)]
    small = torch.randn(1, 3, frames, score_size, score_size, device=device)
    rows += timed("scorecam", x3d_m(frames, score_size, device), small, score_repeats)
    return rows + [memory_row(method, memory_clips, frames, memory_size, device) for method in PEERS]


def x3d_m(frames: int, size: int, device: str) -> nn.Module:
    """Return pytorchvideo's X3D-M with random weights."""
    net: nn.Module = create_x3d(input_clip_length=frames, input_crop_size=size, model_num_class=CLASSES, head_activation=None)
    return net.to(device).eval()


def timed(method: str, net: nn.Module, clip: Tensor, repeats: int) -> list[Row]:
    """Return a row for each peer that has this method."""
    ways: dict[str, Explain] = {"ours": lambda net, clip: explain(net, clip, method=method, layer=LAYER).maps}
    ways["pytorch-grad-cam"] = pytorch_grad_cam(method)
    if method == "gradcam":
        ways["captum, class asked for first"] = captum_predicted
        ways["captum, class given"] = captum_given
    timings = measure({name: partial(way, net, clip) for name, way in ways.items()}, repeats=repeats)
    _, _, frames, size, _ = clip.shape
    case = f"x3d_m {method}: {frames} frames, {size} px"
    return [timings_row("explain", case, timings, peer=name, peer_name=name, unit="s") for name in ways if name != "ours"]


def pytorch_grad_cam(method: str) -> Explain:
    """Return pytorch-grad-cam's way; its ScoreCAM enlarges in 2-D and refuses clips, and gets a trilinear step here."""
    peer = importlib.import_module("pytorch_grad_cam")
    made = volume_score_cam(peer.ScoreCAM) if method == "scorecam" else getattr(peer, PEERS[method])

    def explained(net: nn.Module, clip: Tensor) -> object:
        # Its bar of progress goes nowhere.
        with contextlib.redirect_stderr(io.StringIO()), made(model=net, target_layers=[net.get_submodule(LAYER)]) as cam:
            return cam(clip, targets=None)

    return explained


def volume_score_cam(score_cam: type[Any]) -> type[Any]:
    """Return its ScoreCAM with its own steps in 3-D: all masked clips at once, then passes of 16."""

    class VolumeScoreCAM(score_cam):
        def get_cam_weights(self, clip: Tensor, _layers: Any, targets: Any, activations: Any, _grads: Any) -> Any:
            with torch.no_grad():
                enlarged = functional.interpolate(torch.from_numpy(activations).to(clip.device), clip.shape[2:], mode="trilinear")
                flat = enlarged.flatten(2)
                low, high = flat.amin(2)[..., None, None, None], flat.amax(2)[..., None, None, None]
                masked = clip[:, None] * ((enlarged - low) / (high - low + 1e-8))[:, :, None]
                scores = [
                    target(output).cpu().item()
                    for target, clips in zip(targets, masked, strict=True)
                    for start in range(0, len(clips), 16)
                    for output in self.model(clips[start : start + 16])
                ]
            return torch.tensor(scores).view(activations.shape[:2]).softmax(-1).numpy()

    return VolumeScoreCAM


def captum_given(net: nn.Module, clip: Tensor, target: Any = 0) -> Tensor:
    """Return captum's Grad-CAM of a class, enlarged to the clip."""
    peer = importlib.import_module("captum.attr")
    found = peer.LayerGradCam(net, net.get_submodule(LAYER)).attribute(clip, target=target, relu_attributions=True)
    return enlarge(found.detach(), size_TYX=tuple(clip.shape[2:]))


def captum_predicted(net: nn.Module, clip: Tensor) -> Tensor:
    """Return captum's Grad-CAM of the predicted class, for which the network is asked first."""
    with torch.inference_mode():
        predicted = net(clip).argmax(1).tolist()
    return captum_given(net, clip, target=predicted)


def memory_row(method: str, clips: int, frames: int, size: int, device: str) -> Row:
    """Compare how much more memory the second half of many clips takes than the first; Score-CAM takes four channels."""
    net = x3d_m(frames, size, device)
    options: dict[str, Any] = {"channels": 4} if method == "scorecam" else {}
    ways: dict[str, Explain] = {"ours": lambda net, clip: explain(net, clip, method=method, layer=LAYER, **options)}
    if method != "scorecam":
        ways["peer"] = pytorch_grad_cam(method)
    grown = {name: growth(way, net, clips, frames, size, device) for name, way in ways.items()}
    return Row(
        suite="explain",
        case=f"x3d_m {method}: memory gained over {clips} clips of {frames} frames, {size} px",
        ours=grown["ours"],
        peer=grown.get("peer"),
        peer_name="pytorch-grad-cam" if "peer" in grown else "",
        unit="MB",
        speedup=None,
        spread=None,
        repeats=1,
    )


def growth(way: Explain, net: nn.Module, clips: int, frames: int, size: int, device: str) -> float:
    """Return by how many megabytes the most memory in use behind a clip of the second half exceeds that of the first."""
    used = []
    for _ in range(clips):
        way(net, torch.randn(1, 3, frames, size, size, device=device))
        used.append(memory_in_use(device))
    return max(used[clips // 2 :]) - max(used[: clips // 2])


def memory_in_use(device: str) -> float:
    """Return the megabytes that tensors hold at most so far on a GPU, or that the process holds now."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e6
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
