"""Networks as graphs that run without objabn, ONNX and torch.export, each compared with PyTorch before anyone sees it."""

import io
import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.models.network import AttentionNetwork
from objabn.types import Output

Answers = Callable[[Tensor], dict[str, Tensor]]
"""Clips to outputs by name."""

OPSET = 18
"""Of ONNX: what runtimes have read since 2023."""
TOLERANCE = 1e-3
"""Difference from PyTorch that an export may have, as a part of the largest value of an output, or of 1 where that is smaller."""
DESCRIPTION_FILE = "objabn.json"
"""Name of the description among the extra files of a .pt2 file."""


class Exported(nn.Module):
    """A network as it is exported: a uint8 clip in, the outputs that an application reads by name, so all but `features`."""

    def __init__(self, net: AttentionNetwork) -> None:
        super().__init__()
        # What is exported is in float32 on the CPU, and in no layout but the plain one.
        self.net = deepcopy(net).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Answer clips (B, 3, T, Y, X)."""
        output: Output = self.net(clip)
        told = {name: value for name, value in output._asdict().items() if value is not None and name != "features"}
        return {name: value for name, value in told.items() if value.shape[1]}  # a plain network has no maps


def build_graph(net: AttentionNetwork, file_format: str, description: dict[str, Any]) -> tuple[bytes, dict[str, float]]:
    """Return the content of an `onnx` or `pt2` file and, for each output, the largest difference from PyTorch.

    The size of the batch is left open. RuntimeError where the file does not answer as the network does.
    """
    writers = {"onnx": (onnx_content, run_onnx), "pt2": (pt2_content, run_pt2)}
    write, run = writers[file_format]
    exported, (noise, scene) = Exported(net).eval(), check_clips(net.clip_frames, net.clip_size)
    content = write(exported, scene[:2], description)
    return content, compare(exported, run(content), (noise, scene))


def check_clips(frames: int, size: int) -> tuple[Tensor, Tensor]:
    """Return one clip of noise, and three with large soft shapes that change slowly, as real pictures have them."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (1, 3, frames, size, size), dtype=torch.uint8, generator=generator)
    coarse = torch.rand(3, 3, 2, 6, 6, generator=generator) * 255
    scene = functional.interpolate(coarse, (frames, size, size), mode="trilinear", align_corners=True)
    return noise, scene.to(torch.uint8)


def compare(network: Answers, graph: Answers, clips: tuple[Tensor, ...]) -> dict[str, float]:
    """Return the largest difference of each output over the clips; more than `TOLERANCE` is a RuntimeError."""
    largest: dict[str, float] = {}
    for clip in clips:
        with torch.inference_mode():
            expected, answered = network(clip), graph(clip)
        for name, value in expected.items():
            difference, allowed = float((answered[name] - value).abs().max()), TOLERANCE * max(1.0, float(value.abs().max()))
            if not difference <= allowed:  # also where it is NaN
                raise RuntimeError(
                    f"The exported {name} differ by {difference:.1e} from PyTorch's, and {allowed:.1e} is allowed; nothing was written. "
                    "Another version of torch or onnxruntime may export this network."
                )
            largest[name] = max(largest.get(name, 0.0), difference)
    return largest


def onnx_content(exported: Exported, clip: Tensor, description: dict[str, Any]) -> bytes:
    """Return an ONNX file: input `clip` (batch, 3, T, Y, X) uint8, outputs by name, the description in its metadata."""
    require_onnx()
    with torch.no_grad():
        names = list(exported(clip[:1]))
    program = torch.onnx.export(
        exported,
        (clip,),
        dynamo=True,
        input_names=["clip"],
        output_names=names,
        dynamic_shapes={"clip": open_batch()},
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update(
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in description.items()}
    )
    return program.model_proto.SerializeToString()


def run_onnx(content: bytes) -> Answers:
    """Return what runs an ONNX file with onnxruntime on the CPU."""
    import onnxruntime  # noqa: PLC0415  (an extra)

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda clip: dict(zip(names, map(torch.from_numpy, session.run(names, {"clip": clip.numpy()})), strict=True))


def require_onnx() -> None:
    """Raise RuntimeError unless everything is installed that writes and checks ONNX."""
    try:
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise RuntimeError(f"Export to ONNX needs {error.name}, which is not installed: pip install 'objabn[onnx]'.") from None


def pt2_content(exported: Exported, clip: Tensor, description: dict[str, Any]) -> bytes:
    """Return a torch.export archive: its module takes a clip and returns outputs by name; the description is an extra file."""
    program = torch.export.export(exported, (clip,), dynamic_shapes={"clip": open_batch()})
    program.example_inputs = None  # the clip would be stored too
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={DESCRIPTION_FILE: json.dumps(description)})
    return file.getvalue()


def run_pt2(content: bytes) -> Answers:
    """Return what runs a torch.export archive."""
    module: Answers = torch.export.load(io.BytesIO(content)).module()
    return module


def open_batch() -> dict[int, Any]:
    """Return what leaves the first axis of a clip open."""
    return {0: torch.export.Dim("batch", min=1)}
