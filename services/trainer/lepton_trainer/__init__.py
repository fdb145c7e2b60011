"""Claims runs, supervises their process tree, trains, checkpoints, evaluates, exports."""
