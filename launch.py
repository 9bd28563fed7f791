"""Text to 3D: hands the command line to app/. `python launch.py --help` says what it can do."""

import sys

from app.process import wait_passively

wait_passively()  # before anything imports torch

from app.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
