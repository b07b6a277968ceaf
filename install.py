"""Install packages into this Python's environment, with the CPU build of torch where there is no NVIDIA GPU.

    python install.py -c constraints.txt -e ".[dev]"

pip installs the CUDA build of torch on Linux, 5.6 GB; uv chooses by the GPU's driver, or as UV_TORCH_BACKEND says.
Where uv cannot be used, or pip is configured with an index of its own, which uv would ignore, pip installs.
"""

import os
import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Install and return the exit code."""
    pip = [sys.executable, "-m", "pip"]
    configured = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout
    if (
        "index-url" not in configured
        and "find-links" not in configured
        and _run(*pip, "install", "-q", "uv") == 0
    ):
        os.environ.setdefault("UV_TORCH_BACKEND", "auto")
        if _run(sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *arguments) == 0:
            return 0
        print("uv failed; pip installs, on Linux with the CUDA build of torch", flush=True)
    return _run(*pip, "install", "--progress-bar", "on", *arguments)


def _run(*command: str) -> int:
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
