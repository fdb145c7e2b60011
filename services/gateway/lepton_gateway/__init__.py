"""The public entry point of Lepton: HTTP, gRPC and queue intake, which all call the same submit()."""
