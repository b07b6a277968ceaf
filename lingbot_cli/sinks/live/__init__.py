"""Live outputs of a stream: RTMP, SRT, WHIP or a file, each with a send queue and reconnects.

The pace of a stream and its statistics live in `broadcast/`.
"""
