"""Versions of models: added judged, promoted, rolled back, retired, verified."""

from tocsin.registry.ledger import CANDIDATE, CHAMPION, ChannelEntry, Version
from tocsin.registry.registry import Registry

__all__ = ["CANDIDATE", "CHAMPION", "ChannelEntry", "Registry", "Version"]
