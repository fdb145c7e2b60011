"""The `lepton` command: each command calls the client, then prints the result as text or as JSON."""
