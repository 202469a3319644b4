"""The model: grid, blocks, pruning, checkpoints."""
