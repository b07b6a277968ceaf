"""Broadcast: a stream rendered at a constant frame rate, from a timeline or live events, until it ends.

Here: pacing, just-in-time chunks, latencies, statistics. Connections and encoders of the targets live in
`sinks/live/`.
"""
