"""Claims runs and supervises their processes. Never imports torch."""
