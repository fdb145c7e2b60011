"""The old name of `lepton.runtime`, kept for programs that import it."""

from lepton.runtime import checkpoint, data_dir, log, log_model, progress, resume_dir, resume_step

__all__ = ["checkpoint", "data_dir", "log", "log_model", "progress", "resume_dir", "resume_step"]
