"""Archives are hostile until checked. Unpacks zip, tar and tar.gz by our own rules: `unpack` is all that others need.

`tarfile` with filter="data" has let members escape on supported Pythons (CVE-2025-4517), so nothing here trusts the
standard library's extraction: entries are listed, names and kinds checked, and bytes counted while they are written.
"""

from lepton_core.archives.unpacking import ArchiveLimits, Unpacked, unpack

__all__ = ["ArchiveLimits", "Unpacked", "unpack"]
