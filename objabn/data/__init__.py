"""What exists on disk, and which part of it is read next."""
