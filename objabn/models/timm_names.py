"""timm's networks by name: the setting in which each was published, and the nearest names to one that there is not."""

import difflib

import timm

from objabn.models.sizes import BACKBONES, Published

NAMES_OFFERED = 3


def timm_setting(name: str) -> Published:
    """Return the picture that a network of timm was trained on, as a clip of one frame; ValueError for a name it does not know."""
    refuse_unknown(name)
    pretrained = timm.get_pretrained_cfg(name)
    size = 224 if pretrained is None else pretrained.input_size[-1]
    has_weights = pretrained is not None and pretrained.has_weights
    return Published(clip_frames=1, clip_size=size, imagenet=name if has_weights else None)


def refuse_unknown(name: str) -> None:
    """Raise ValueError for a name that neither we nor timm know, with ours and timm's nearest ones."""
    network, _, tag = name.partition(".")
    if not timm.is_model(network):
        near = difflib.get_close_matches(name, timm.list_models(), n=NAMES_OFFERED) or ["resnet50"]
        raise ValueError(
            f"There is no backbone {name!r}; choose one of {', '.join(BACKBONES)}, "
            f"or a network of timm by its name, such as {', '.join(near)}."
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{network}.*")]
    if tag and tag not in tags:
        raise ValueError(f"timm has no weights {tag!r} of {network}; its weights are {', '.join(tags) or 'none'}.")
