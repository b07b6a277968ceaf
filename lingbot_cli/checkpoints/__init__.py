"""Checkpoints on disk and on the hub: layouts, headers, tensor names, downloads, verification and the cache folder.

Everything here is read without torch. Loading tensors into a model is `lingbot_cli.model.loading`'s work.
"""
