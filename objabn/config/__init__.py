"""The settings of a run: frozen dataclasses with a docstring under each field, which says what it does and in which unit."""

from dataclasses import dataclass, field

from objabn.config.checks import check
from objabn.config.data import DataConfig
from objabn.config.loss import LossConfig
from objabn.config.model import ModelConfig
from objabn.config.optim import OptimConfig
from objabn.config.run import RunConfig

__all__ = ["Config", "DataConfig", "LossConfig", "ModelConfig", "OptimConfig", "RunConfig", "check"]


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
        """Side of the attention grid: each part of a stem halves the picture, rounding up."""
        return -(-self.data.crop_size // 2**self.model.cut)
