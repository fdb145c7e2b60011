"""Package lepton.v1: generated from the .proto files beside it by `make proto`."""
