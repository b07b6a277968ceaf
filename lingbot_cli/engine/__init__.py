"""Rendering on another machine: any server of the realtime protocol as the engine."""
