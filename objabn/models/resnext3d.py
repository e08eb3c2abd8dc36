"""3D ResNeXt (Hara et al. 2018), the backbone of Yudistira et al. 2020, with parameters named as in its authors' files."""

from torch import Tensor

from objabn.models.residual3d import Residual3D
from objabn.models.sizes import RESNEXT3D_SIZES


class ResNeXt3D(Residual3D):
    """Kernels over time in the first convolution and in the middle of each block; time is halved as often as the picture, but for one.

    Its authors have published it with two stems: of 128 channels, and before that, for CVPR 2018, of 64.
    """

    stem_frames = 7
    entry_frames = (1, 1, 1, 1)
    middle_frames = 3
    halves_frames = True

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights as they are; ValueError where they are those of the other stem, naming the network they fit."""
        theirs = state["conv1.weight"].shape[0] if "conv1.weight" in state else self.size.stem_channels
        fitting = [name for name, size in RESNEXT3D_SIZES.items() if size.stem_channels == theirs]
        if theirs != self.size.stem_channels and fitting:
            raise ValueError(
                f"These weights have a stem of {theirs} channels and the network one of {self.size.stem_channels}; "
                f"take model.backbone={fitting[0]}, which has theirs and reads pixels as it was trained to."
            )
        return state


def build_resnext3d(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> ResNeXt3D:
    """Build the 3D ResNeXt of this name with random weights."""
    del clip_frames, clip_size  # any will do
    return ResNeXt3D(RESNEXT3D_SIZES[name], classes=classes, cut=cut, dropout=dropout)
