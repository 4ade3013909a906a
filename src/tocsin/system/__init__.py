"""The whole way, wired from a config. Read `tocsin.system.project` first."""

from tocsin.system.checking import check
from tocsin.system.connections import dependencies, lacking
from tocsin.system.outcome import Outcome
from tocsin.system.project import RUNS, Project

__all__ = ["RUNS", "Outcome", "Project", "check", "dependencies", "lacking"]
