"""What a running service says of the models that follow each other in it; the same rules as in `tocsin.observe`."""

from __future__ import annotations

from tocsin.log import count
from tocsin.log import logger as _log


def model_swapped(before: int, version: int, digest: str) -> None:
    """From the next row on, another version scores."""
    _log.info("Model swapped.", before=before, version=version, model=digest[:12])
    count("tocsin_models_swapped_total")


def model_warms_up(version: int, longest_s: float) -> None:
    """A version with other features is taken along until its windows have filled, as long as it remembers at most."""
    _log.info("Model warms up.", version=version, longest_s=round(longest_s))
    count("tocsin_models_warmed_up_total")


def candidate_refused(version: int, reason: str, *, again: bool) -> None:
    """A version that a channel leads to cannot serve; the one before it goes on. It is told once, and tried again."""
    (_log.debug if again else _log.error)("Model refused, the one before it goes on.", version=version, reason=reason)
    count("tocsin_candidates_refused_total")


def channel_not_followed(channel: str, reason: str, *, again: bool) -> None:
    """A channel could not be reached or trusted; what serves goes on. It is told once, and tried again."""
    (_log.debug if again else _log.warning)("Channel not followed.", channel=channel, reason=reason)
    count("tocsin_channels_not_followed_total")


def model_swapped_back(failed: int, version: int, reason: str) -> None:
    """A version did worse than the one before it, which serves again."""
    _log.error("Model swapped back.", failed=failed, version=version, reason=reason)
    count("tocsin_models_swapped_back_total")


def probation_put_off(reason: str) -> None:
    """There is no room to write down which version failed: it is tried again, and a kill until then forgets it."""
    _log.warning("Probation put off.", reason=reason)
    count("tocsin_probations_put_off_total")


def channel_left(channel: str, version: int, reason: str) -> None:
    """A channel still leads to a version that failed here: somebody else has to roll it back."""
    hint = "roll it back where channel.key is: tocsin models rollback"
    _log.error("Channel leads to a version that failed.", channel=channel, version=version, reason=reason, hint=hint)
    count("tocsin_channels_left_total")


def model_kept(version: int) -> None:
    """A version was watched for its time and did no worse than the one before it, which is let go."""
    _log.info("Model kept.", version=version)
    count("tocsin_models_kept_total")


def rows_failed(rows: int, reason: str) -> None:
    """The model failed on rows; the one before it judged them."""
    _log.error("Model failed on rows, the one before it judged them.", rows=rows, reason=reason)
    count("tocsin_rows_failed_total", rows)


def canary_tried(result: str) -> None:
    """An anomaly was made up and shown to nobody but the models: `found`, `missed`, or `none` could be made."""
    (_log.warning if result == "missed" else _log.debug)("Canary tried.", result=result)
    count("tocsin_canaries_total", result=result)


def shadow_left_out(rows: int) -> None:
    """A model that is scored beside the one that serves does not keep up: these rows are not compared."""
    _log.debug("Rows left out beside.", rows=rows)
    count("tocsin_shadow_rows_left_out_total", rows)


def shadow_compared(version: int, rows: int, ratio: float, agreement: float) -> None:
    """How a model does beside the one that serves was written down."""
    figures = {"alert_ratio": round(ratio, 3), "agreement": round(agreement, 3)}
    _log.info("Shadow compared.", version=version, rows=rows, **figures)
    count("tocsin_shadow_comparisons_total")
