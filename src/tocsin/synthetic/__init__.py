"""Honest generators of labelled telemetry, one file per preset. Used on explicit request only."""
