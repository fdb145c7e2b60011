"""The whole Lepton platform on one machine: `lepton up`."""
