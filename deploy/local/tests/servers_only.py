"""A runner of the two bundled servers alone: `python servers_only.py HOME`."""

import os
import sys
from pathlib import Path

from lepton_core.errors import LeptonError
from lepton_local.components import objects_component, queue_component
from lepton_local.home import Home
from lepton_local.platform import Platform
from lepton_local.settings import LocalSettings

try:
    Platform(
        Home(Path(sys.argv[1])),
        LocalSettings(free_ports=True),
        os.environ,
        say=lambda line: print(line, flush=True),  # noqa: T201
        on_ready=lambda status: print("up", flush=True),  # noqa: T201
        build=lambda wiring: [queue_component(wiring), objects_component(wiring)],
    ).up()
except LeptonError as error:
    sys.exit(str(error))
