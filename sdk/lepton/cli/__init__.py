"""The `lepton` command: each command asks the client, then draws what it got, or prints it as JSON."""
