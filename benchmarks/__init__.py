"""Measurements: the same job for crawlkit and for others, on one machine, in one run."""
