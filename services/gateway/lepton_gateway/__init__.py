"""The public door of Lepton: HTTP, gRPC and queue intake in front of one submit()."""
