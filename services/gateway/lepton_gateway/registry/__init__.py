"""Typed calls to the registry, one module for each group of resources.

The channel adds the gateway's service token and the acting principal to every call.
"""

from lepton_gateway.registry.client import Registry as Registry
