"""This project and what people would use instead, measured in turns within one run. `make bench` runs them all."""
