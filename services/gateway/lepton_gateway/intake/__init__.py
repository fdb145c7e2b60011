"""The queue door: jobs of other systems, from a Redis stream or by a Celery task."""
