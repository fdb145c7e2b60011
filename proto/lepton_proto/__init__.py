"""Contracts of the Lepton platform: protobuf files and the code generated from them."""
