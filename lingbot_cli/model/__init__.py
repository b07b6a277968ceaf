"""The model: transformer, VAE, text encoder and the session that runs them on a device.

The only package that needs torch, two files of `lingbot_cli.diagnostics` apart. It knows no terminal, no sink and
no server.
"""
