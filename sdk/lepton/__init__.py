"""Python client and command line of the Lepton platform."""
