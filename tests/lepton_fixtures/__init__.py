"""Real servers for tests, as pytest fixtures.

Loaded for the whole tree by the root `conftest.py`. Nothing here imports a service or lepton_local, so that each
service's own tests can use it.
"""
