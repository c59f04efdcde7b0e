"""``python -m spaniel``, and ``torchrun … -m spaniel``."""

from spaniel.cli import main

if __name__ == "__main__":
    main(prog_name="spaniel")
