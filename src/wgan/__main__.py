"""``python -m wgan`` is ``wgan``."""

import sys

from wgan.cli import main

if __name__ == "__main__":
    sys.exit(main())
