"""Layer-wise relevance propagation through any network: operations hand on relevance in the place of gradients.

Networks are not rewritten. While one runs under `Propagation`, each operation that depends on the layer explained gets a backward
pass that shares its output's relevance out to its inputs; autograd does the rest, and adds up what meets where a tensor was used
twice. Operations that only move values (views, slices, concatenation, the winners of max pools) move relevance alike by themselves.
An operation that nobody gave a rule is found in the graph afterwards, and refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Share = Callable[..., Sequence[Tensor]]
"""Turns the relevance of an output, and the inputs that matter, into the relevance of each of these."""

LEAST_DIVISOR = 1e-20
"""Outputs smaller than it hand on no relevance: the quotient would leave the range of float32."""


class Call(NamedTuple):
    """One operation of a network."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]

    @property
    def places(self) -> list[int | str]:
        """Where among the arguments those are that depend on the layer explained."""
        every: list[tuple[int | str, Any]] = [*enumerate(self.arguments), *self.named.items()]
        return [place for place, value in every if isinstance(value, Tensor) and value.requires_grad]

    def run(self) -> Any:
        """Return what the operation gives."""
        return self.function(*self.arguments, **self.named)

    def run_on(self, values: dict[int | str, Any]) -> Any:
        """Return what it gives with other values in some places."""
        arguments = [values.get(place, value) for place, value in enumerate(self.arguments)]
        return self.function(*arguments, **{name: values.get(name, value) for name, value in self.named.items()})

    def sharing(self, share: Share) -> Tensor:
        """Return what the operation gives, with a backward pass that shares out relevance."""
        inputs = [self.arguments[place] if isinstance(place, int) else self.named[place] for place in self.places]
        output: Tensor = Shared.apply(self, share, *inputs)
        return output


class Shared(torch.autograd.Function):
    """An operation whose output's relevance is shared out to its inputs by a rule."""

    @staticmethod
    def forward(ctx: Any, call: Call, share: Share, *inputs: Tensor) -> Tensor:
        """Return what the operation gives."""
        ctx.share = share
        ctx.save_for_backward(*inputs)
        output: Tensor = call.run()
        return output

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return the relevance of each input."""
        return None, None, *ctx.share(relevance[0], *ctx.saved_tensors)


def in_proportion(relevance: Tensor, function: Callable[..., Tensor], parts: Sequence[Tensor]) -> list[Tensor]:
    """Share relevance out in proportion to what each part adds to the output of a function that is linear in them all."""
    with torch.enable_grad():
        leaves = [part.detach().requires_grad_() for part in parts]
        output = function(*leaves)
    quotient = torch.where(output.detach().abs() > LEAST_DIVISOR, relevance / output.detach(), 0)
    slopes = torch.autograd.grad(output, leaves, quotient)
    return [part * slope for part, slope in zip(parts, slopes, strict=True)]


def passing(call: Call) -> Tensor:
    """Hand all relevance to the one input that matters."""
    if len(call.places) != 1:
        return call.run()
    return call.sharing(lambda relevance, values: [relevance.sum_to_size(values.shape)])


def dividing(call: Call) -> Tensor:
    """Hand all relevance to what is divided, by something that does not matter."""
    return passing(call) if call.places == [0] else call.run()


def adding(call: Call) -> Tensor:
    """Hand all relevance to the one term that matters, or share it out between two."""
    return passing(call) if len(call.places) == 1 else averaging(call)


def averaging(call: Call) -> Tensor:
    """Share by what has the sign of the output, for sums with weights that are never negative: no share exceeds the whole."""
    places = call.places

    def function(*values: Tensor) -> Tensor:
        return call.run_on(dict(zip(places, values, strict=True)))

    def share(relevance: Tensor, *inputs: Tensor) -> list[Tensor]:
        output, shares = function(*inputs), [torch.zeros_like(values) for values in inputs]
        for sign in (1, -1):
            parts = [(sign * values).clamp(min=0) for values in inputs]
            if any(bool(part.any()) for part in parts):
                found = in_proportion(relevance * (sign * output > 0), function, parts)
                shares = [total + more for total, more in zip(shares, found, strict=True)]
        return shares

    return call.sharing(share)


def weighing(call: Call) -> Tensor:
    """Share by the z+ rule (alpha 1, beta 0): by what is positive in weight times input; a bias takes no part."""
    return by_positive_products(call, weight_place=1)


def merging(call: Call) -> Tensor:
    """Share by the z+ rule among features that were gated by maps, which are constants and never negative."""
    return by_positive_products(call, weight_place=2)


def by_positive_products(call: Call, *, weight_place: int) -> Tensor:
    """Share by the z+ rule, with the weights at a place behind the features."""
    if call.places != [0]:
        return call.run()
    weight: Tensor = call.arguments[weight_place]
    without_bias: dict[int | str, Any] = {} if weight_place == 2 else {2: None, "bias": None}

    def share(relevance: Tensor, values: Tensor) -> list[Tensor]:
        def function(positive: Tensor, *negative: Tensor) -> Tensor:
            output: Tensor = call.run_on({**without_bias, 0: positive, weight_place: weight.clamp(min=0)})
            for part in negative:
                output = output + call.run_on({**without_bias, 0: part, weight_place: weight.clamp(max=0)})
            return output

        parts = [values.clamp(min=0), values.clamp(max=0)]
        # Behind a ReLU there is no second half, and half of the work.
        found = in_proportion(relevance, function, parts if bool(parts[1].any()) else parts[:1])
        return [found[0] + found[1] if len(found) == 2 else found[0]]

    return call.sharing(share)


def multiplying(call: Call) -> Tensor:
    """Share a product of matrices: one that is never negative averages, as the weights of attention do; another weighs."""
    if len(call.places) != 1 or len(call.arguments) != 2:
        return call.run()
    other: Tensor = call.arguments[1 if call.places == [0] else 0]
    if bool((other >= 0).all()):
        return averaging(call)
    return weighing(call) if call.places == [0] else call.run()


def attending(call: Call) -> Tensor:
    """Share attention out to its values: queries and keys are gates."""
    sought = Call(call.function, (*(values.detach() for values in call.arguments[:2]), *call.arguments[2:]), call.named)
    return averaging(sought) if sought.places == [2] else call.run()


def gating(call: Call) -> Tensor:
    """Make a gate a constant: all relevance goes to what it gates."""
    output: Tensor = call.run()
    return output.detach()


Rule = Callable[[Call], Tensor]
"""Runs an operation so that it shares out relevance."""

RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear"), weighing),
    "merge_gated": merging,
    **dict.fromkeys(("matmul", "bmm", "mm"), multiplying),
    "scaled_dot_product_attention": attending,
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"), passing),
    **dict.fromkeys(("relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "silu", "gelu", "mish", "hardswish"), passing),
    **dict.fromkeys(("tanh", "hardtanh", "softplus", "mul", "multiply", "sub", "subtract", "rsub"), passing),
    **dict.fromkeys(("div", "divide", "true_divide"), dividing),
    **dict.fromkeys(("add", "radd"), adding),
    **dict.fromkeys(("mean", "sum", "interpolate"), averaging),
    **dict.fromkeys([f"{kind}avg_pool{rank}d" for kind in ("", "adaptive_") for rank in (1, 2, 3)], averaging),
    **dict.fromkeys(("sigmoid", "hardsigmoid", "softmax"), gating),
}
"""How operations hand on relevance, by their names in PyTorch."""

RULES_BEHIND_SOFTMAX: dict[str, Rule] = {**RULES, **dict.fromkeys(("softmax", "clamp_min", "log"), passing)}
"""Those of a network whose answer is a softmax, of which `Subject.scores` takes the logarithm: its logits have the same relevance."""

MOVES = (
    *("AccumulateGrad", "AdaptiveMaxPool", "Alias", "Amax", "AsStrided", "Cat", "Clone", "ConstantPad", "Copy", "Expand", "Flip", "Gather"),
    *("Im2Col", "Index", "MaskedFill", "Max", "Permute", "ReflectionPad", "Repeat", "ReplicationPad", "Reshape", "Roll", "Select", "Slice"),
    *("Split", "Squeeze", "Stack", "TBackward", "ToCopy", "Transpose", "Unbind", "Unfold", "Unsafe", "Unsqueeze", "View"),
)
"""How the names of autograd's nodes begin whose gradients are relevance moved and added up."""


class Propagation(TorchFunctionMode):
    """While it is entered, operations on tensors that ask for gradients hand on relevance in their place, by rules."""

    def __init__(self, rules: Mapping[str, Rule] = RULES) -> None:
        super().__init__()
        self.rules = rules

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation."""
        named, name = dict(kwargs or {}), getattr(func, "__name__", "")
        rule = self.rules.get(name.strip("_"))
        if rule is None or not torch.is_grad_enabled() or not Call(func, args, named).places:
            return func(*args, **named)
        is_in_place = bool(named.pop("inplace", False))
        if name.endswith("_") and not name.startswith("_"):
            func, is_in_place = getattr(Tensor, name[:-1]), True
        if not is_in_place:
            return rule(Call(func, args, named))
        return args[0].copy_(rule(Call(func, (args[0].clone(), *args[1:]), named)))


def unruled(output: Tensor) -> list[str]:
    """Return the names of the operations behind a tensor for which there is no rule, in alphabetical order."""
    nodes, seen, names = [output.grad_fn], set[Any](), set[str]()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = node.name().rpartition("::")[2]
        if not name.startswith((Shared.__name__, *MOVES)):
            names.add(name)
        nodes += [following for following, _ in node.next_functions]
    return sorted(names)
