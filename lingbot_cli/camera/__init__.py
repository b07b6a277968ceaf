"""Camera geometry in NumPy: keys, poses, trajectories and the ray channels that the transformer reads.

Timeline events live in `timeline`; nothing here reads files or needs torch.
"""
