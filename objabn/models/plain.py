"""A backbone as it is: what attention is measured against, and what explainers are asked about afterwards."""

from torch import Tensor, nn

from objabn.models.branches import Attention, Branch


class NoBranch(Branch):
    """A branch that draws no map and gives no scores."""

    feature_channels = 0
    class_layers = ()

    def forward(self, stem_features: Tensor) -> Attention:
        """Return no maps, (B, 0, T, y, x), for features (B, C, T, y, x)."""
        return Attention(stem_features[:, :0].float(), None, None)


class OpenGate(nn.Module):
    """A gate that lets everything pass."""

    def forward(self, features: Tensor, maps: Tensor, frame_weights: Tensor | None = None) -> Tensor:
        """Return features (B, C, T, y, x) as they are."""
        return features
