"""The DALI graphs: clip plan to Batch, on GPU or CPU."""

from dali_pipelines.loading import DaliLoader, loader

__all__ = ["DaliLoader", "loader"]
