"""What the gateway asks the registry, typed, one module a group of resources.

Every call carries the caller in hand: the channel adds the service's token and the acting principal.
"""

from lepton_gateway.registry.client import Registry as Registry
