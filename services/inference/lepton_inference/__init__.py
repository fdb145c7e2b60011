"""Answers predictions over HTTP and gRPC from verified model packages."""
