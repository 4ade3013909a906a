"""Versions of models: added judged, promoted, rolled back, retired, verified."""

from tocsin.registry.judging import Judged
from tocsin.registry.ledger import ARCHIVED, CANDIDATE, CHAMPION, ChannelEntry, Version
from tocsin.registry.registry import Registry
from tocsin.registry.standing import Standing
from tocsin.registry.trust import Machine

__all__ = ["ARCHIVED", "CANDIDATE", "CHAMPION", "ChannelEntry", "Judged", "Machine", "Registry", "Standing", "Version"]
