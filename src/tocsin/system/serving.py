"""A registered version, verified and ready to score a stream."""

from __future__ import annotations

from tocsin.errors import NotStored
from tocsin.scoring.policy import policy_of, restraint_of
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.work import Serving
from tocsin.system.project import Project


def serving_of(project: Project, version: int | str, digest: str = "") -> Serving:
    """What serves a version of a project's registry, by number or channel, with the config's room for entities.

    Raises
    ------
    NotStored
        If there is none, or it has another digest.
    TocsinError
        If it cannot be trusted or loaded.
    """
    model, entry = project.model(version)
    if digest and entry.digest != digest:
        raise NotStored(f"version {version}", f"digest {entry.digest[:12]}", f"digest {digest[:12]}")
    config = project.config
    model.kernel.bound(config.limits.entities)
    restraint = restraint_of(config, project.privacy, project.clock, dry_run=config.stream.dry_run)
    policy = policy_of(model, config.alerts, entry.shown, generated=entry.generated, restraint=restraint)
    return Serving(Scorer(model, policy), entry.version, entry.digest, entry.created)
