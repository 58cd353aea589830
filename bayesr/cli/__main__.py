"""Command line as ``python -m bayesr.cli``."""

from bayesr.cli import main

if __name__ == "__main__":  # worker processes import this file, too
    main(prog_name="bayesr")
