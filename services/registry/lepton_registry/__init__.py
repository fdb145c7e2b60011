"""The truth of Lepton, in SQL: runs, datasets, models, deployments, lineage, events."""
