"""Attributions of captum as explainers, for the methods that are not written here."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from objabn.explainers.explanation import Explanation, Method, class_map
from objabn.explainers.hooks import captured
from objabn.explainers.layers import find_layer
from objabn.explainers.subject import Subject, chosen_classes
from objabn.models.network import evaluating

Sign = Literal["positive", "absolute", "signed"]
OURS = {"self", "inputs", "forward_func", "model", "layer", "target", "return_convergence_delta"}
"""Parameters of captum's that are no options: they are set here, or change what is returned."""


def captum_method(attribution: type[Any] | str, *, sign: Sign = "positive", **options: Any) -> Method:
    """Return a class of `captum.attr`, or the one of this name, as a method for `objabn.explain`.

    `options` are those of its constructor and of its `attribute`; the latter may be given to `explain` as well. Clips come in as floats,
    `target` is the explained class, and `baselines`, where there are any, the subject's unless given. Classes that look at a layer get
    the subject's, and what they say of its output is put on its grid.

    Attributions are summed over colours or channels; then `sign="positive"` drops what speaks against the class, "absolute" adds
    magnitudes instead, and "signed" keeps both, so that 0 lies anywhere between. Raises RuntimeError without captum, and ValueError for a
    name or an option that it does not have; the method raises ValueError for a layer that captum would misread.
    """
    made = find_attribution(attribution) if isinstance(attribution, str) else attribution
    if sign not in ("positive", "absolute", "signed"):
        raise ValueError(f"sign={sign!r} is not possible; it must be positive, absolute or signed.")
    of_constructor, of_call = (set(inspect.signature(function).parameters) for function in (made.__init__, made.attribute))
    known = (of_constructor | of_call) - OURS
    check_options(made, options, known)

    def method(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None, **more: Any) -> Explanation:
        check_options(made, more, known & of_call)
        given = {**options, **more}
        explain = over_layer if "layer" in of_constructor else over_clip
        # Gradients are taken of what no inference mode has touched.
        with torch.inference_mode(mode=False), torch.enable_grad(), evaluating(subject.net):
            clip = (clip_BCTYX if clip_BCTYX.is_floating_point() else clip_BCTYX.float()).detach().clone().requires_grad_()
            with torch.no_grad():
                scores_BK = subject.scores(clip)
            found_B = chosen_classes(scores_BK, classes_B)
            # As many clips at a time as came in: the steps of an integral all at once would take the memory of so many.
            defaults = {
                "target": found_B,
                "baselines": subject.baseline.expand(1, *clip.shape[1:]),
                "internal_batch_size": len(clip),
            }
            of_attribute = {name: value for name, value in {**defaults, **given}.items() if name in of_call}

            def attribute(*layer: nn.Module) -> Any:
                explainer = made(Scores(subject), *layer, **{name: value for name, value in given.items() if name in of_constructor})
                return explainer.attribute(clip, **of_attribute)

            volume = explain(subject, clip, attribute)
        return class_map(signed_sum(volume, sign), clip_BCTYX, name=made.__name__, logits_BK=scores_BK, classes_B=found_B)

    return method


class Scores(nn.Module):
    """A subject as captum wants it: a module that gives a tensor of scores."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.net = subject.net
        self.scores = subject.scores

    def forward(self, clip_BCTYX: Tensor) -> Tensor:
        """Return (B, K)."""
        return self.scores(clip_BCTYX)


def over_clip(subject: Subject, clip: Tensor, attribute: Callable[..., Tensor]) -> Tensor:
    """Return an attribution (B, C, T, Y, X) of pixels."""
    del subject, clip
    return attribute()


def over_layer(subject: Subject, clip: Tensor, attribute: Callable[..., Tensor]) -> Tensor:
    """Return an attribution (B, C, T', y, x) of the subject's layer; ValueError where captum would take other axes for channels."""
    layer = find_layer(subject, clip)
    with torch.no_grad(), captured(subject.net, [layer.name]) as outputs:
        subject.scores(clip)
    output = outputs[layer.name]
    if not isinstance(output, Tensor):
        raise ValueError(f"captum explains layers that give one tensor, and {layer.name} gives several; take gradcam, or name another.")
    found = attribute(subject.net.get_submodule(layer.name))
    if found.shape == clip.shape:
        return found
    if found.shape != output.shape and layer.volume(output, len(clip)).shape[1] != output.shape[1]:
        raise ValueError(f"captum takes the second axis of {layer.name} for channels, and they are elsewhere; take gradcam.")
    return layer.volume(found, len(clip))


def find_attribution(name: str) -> Any:
    """Return the class of `captum.attr` of this name."""
    try:
        captum = importlib.import_module("captum.attr")
    except ImportError as error:
        raise RuntimeError("captum is not installed; `pip install captum` brings it.") from error
    found = getattr(captum, name, None)
    if not hasattr(found, "attribute"):
        raise ValueError(f"captum.attr has no attribution {name!r}; take IntegratedGradients, Occlusion or another class of its pages.")
    return found


def check_options(made: Any, options: Mapping[str, Any], known: set[str]) -> None:
    """Raise ValueError for an option that an attribution does not take."""
    for name in options:
        if name not in known:
            raise ValueError(f"{made.__name__} has no option {name!r} here; it has {', '.join(sorted(known))}.")


def signed_sum(volume_BCtyx: Tensor, sign: Sign) -> Tensor:
    """Sum over channels to (B, T', y, x)."""
    if sign == "absolute":
        return volume_BCtyx.abs().sum(1)
    total = volume_BCtyx.sum(1)
    return total.relu() if sign == "positive" else total
