"""Fixtures for every test of the tree: real servers. See tests/lepton_fixtures."""

pytest_plugins = ["lepton_fixtures.servers", "lepton_fixtures.databases"]
