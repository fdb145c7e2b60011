"""Queue intake: jobs of other systems, from a Redis stream or a Celery task."""
