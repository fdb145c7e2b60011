"""The registry: stores runs, datasets, models, deployments, lineage and events in SQL."""
