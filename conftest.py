"""Fixtures for every test of the tree: real servers. See tests/lepton_fixtures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tests"))

pytest_plugins = ["lepton_fixtures.servers", "lepton_fixtures.databases"]
