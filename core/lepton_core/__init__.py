"""What all Lepton services share: errors, ids, identity, job specification, wire types."""
