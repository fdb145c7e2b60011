"""Fixtures for every test of the tree: real servers, real platforms. See tests/lepton_fixtures."""

pytest_plugins = [
    "lepton_fixtures.servers",
    "lepton_fixtures.databases",
    "lepton_fixtures.platform",
    "lepton_fixtures.start_stack",
    "lepton_fixtures.other_user",
]
