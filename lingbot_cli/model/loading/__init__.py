"""Loading of a checkpoint's tensors into a model, conversion to our own layout, and random weights for benchmarks."""
