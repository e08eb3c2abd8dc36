"""The DALI graphs: clip plan to Batch, on GPU or CPU."""
