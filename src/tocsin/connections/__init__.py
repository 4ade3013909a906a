"""Connections to other systems: one client per broker, and what goes out to addresses that a config names."""
