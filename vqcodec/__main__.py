"""`python -m vqcodec`, and where the command `vqcodec` begins."""

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; Ctrl-C ends quietly even while it is still being imported."""
    try:
        from vqcodec.cli import main as run

        run()
    except KeyboardInterrupt:  # from here on `vqcodec.cli.main` listens itself
        sys.exit(130)
    finally:  # or the interpreter would look for what is unused among all that it is to forget
        gc.freeze()


if __name__ == "__main__":
    main()
