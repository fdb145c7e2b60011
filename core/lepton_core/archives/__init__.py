"""Unpacks zip, tar and tar.gz archives, which are not trusted. The entry point is `unpack`.

`tarfile` with filter="data" has let members escape on supported Pythons (CVE-2025-4517), so nothing here trusts the
standard library's extraction: entries are listed, names and kinds checked, and bytes counted while they are written.
"""

from lepton_core.archives.unpacking import ArchiveLimits, Unpacked, unpack

__all__ = ["ArchiveLimits", "Unpacked", "unpack"]
