"""Kernels of our own, and the choice between them and those of others."""
