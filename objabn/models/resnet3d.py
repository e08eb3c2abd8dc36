"""ResNet (He et al. 2016) inflated to clips, without a stride in time: the backbone of ST-ABN (Mitsuhara et al. 2021)."""

from torch import Tensor

from objabn.models.inflation import inflate
from objabn.models.residual3d import Residual3D
from objabn.models.sizes import RESNET3D_SIZES


class ResNet3D(Residual3D):
    """Purely spatial up to its second stage; the blocks of the last two begin with a convolution over three frames.

    Parameters are named as in 2-D ResNets, whose weights it takes.
    """

    stem_frames = 1
    entry_frames = (1, 1, 3, 3)
    middle_frames = 1
    halves_frames = False

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Inflate what a file has in two dimensions."""
        return inflate(state, self.state_dict())


def build_resnet3d(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> ResNet3D:
    """Build the inflated ResNet of this name with random weights."""
    del clip_frames, clip_size  # any will do
    return ResNet3D(RESNET3D_SIZES[name], classes=classes, cut=cut, dropout=dropout)
