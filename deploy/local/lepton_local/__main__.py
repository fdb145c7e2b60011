"""The runner without the command line: `python -m lepton_local`. `lepton up --detach` starts it."""

import os
import sys

from rich.console import Console

from lepton_core.errors import LeptonError
from lepton_local.commands import run_here
from lepton_local.home import find_home


def main() -> int:
    try:
        run_here(find_home(os.environ), os.environ, Console(highlight=False, soft_wrap=True))
    except LeptonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
