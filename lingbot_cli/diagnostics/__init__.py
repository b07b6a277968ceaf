"""Measurements and checks for people: bench, parity with recorded tensors, doctor.

`flops` and `parity` import torch at the top. Not here: the commands that print the results (`cli`) and the
measurements that a render itself decides by (`runtime`).
"""
