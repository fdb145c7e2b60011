"""Real servers for tests, as pytest fixtures, and what tests of several folders share.

The root `conftest.py` loads the fixtures for the whole tree. No module that it loads imports a service or lepton_local,
so that each service's own tests run where no other service is installed.
"""
