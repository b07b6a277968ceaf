"""Runtime: model options, hardware, memory, autotuning and loading, decided before a model runs.

Nothing here imports torch at import, so that plans and dry runs start fast. The model itself lives in `model/`,
checkpoint files in `checkpoints/`, and the render that uses both in `render/`.
"""
