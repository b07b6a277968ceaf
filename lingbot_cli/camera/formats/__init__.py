"""Camera files of other tools: readers and writers.

Every reader returns a `CameraFile` with OpenCV camera-to-world poses; conventions, units of the lens and frame
rates are taken from the format where it fixes them. Timelines, scaling and resampling live elsewhere.
"""
