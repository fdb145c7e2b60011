"""Limits that both sides of a contract need, each defined once."""

# Default limit of a gRPC message and of an HTTP body. Equal in all services, since they forward what they accept.
DEFAULT_MESSAGE_BYTES = 32 * 1024 * 1024
# Of a request that carries no data, such as a job: reading 32 MiB of JSON would block a service for 20 seconds, and
# take fifty times the memory.
MAX_REQUEST_BYTES = 1024 * 1024
# Of a submission. The queue's message ids have the same bound, since they become such keys.
MAX_IDEMPOTENCY_KEY_CHARS = 255
# Entries of one page of a list, and of one answer about events.
MAX_PAGE_ENTRIES = 1_000
# Of a metric's name, of one journal record, and of one run.
MAX_METRIC_KEY_CHARS = 256
MAX_METRICS_PER_RECORD = 1_000
MAX_METRIC_NAMES = 10_000
# Metric points of one answer.
MAX_METRIC_POINTS = 10_000
# Log chunks of one answer.
MAX_LOG_CHUNKS = 1_000
# Digests in one request about files.
MAX_DIGESTS = 10_000
# Files of one folder, and of the answer that lists a part of them.
MAX_MANIFEST_FILES = 1_000_000
MAX_MANIFEST_PAGE = 10_000
# Of one model's package.
MAX_PACKAGE_FILES = 1_000
# Files that are kept of an attempt whose result cannot be used.
MAX_LEFT_FILES = 200
# Parts of one upload.
MAX_UPLOAD_PARTS = 1_000
# Characters of the message of a dataset version.
MAX_MESSAGE_CHARS = 10_000
# Steps from the node at which a lineage query starts.
MAX_LINEAGE_DEPTH = 64
# Of a recipe's JSON Schema, as text.
MAX_RECIPE_SCHEMA_BYTES = 64 * 1024
