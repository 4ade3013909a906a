"""The config's first step of three: text to typed values, all problems at once.

Parsing opens and resolves nothing: parts stay `PartSpec`s until `system.check` looks whether they fit, and nothing
is opened before the work begins. Values of the named preset lie underneath; a mapping is merged key by key, a list
replaces a list, and a part of another `type` replaces the preset's part whole. `test` lies on `source` in the same way.
"""

from tocsin.config.alerts import AlertsConfig, Rate
from tocsin.config.live import ServerConfig, StreamConfig
from tocsin.config.parsing import ANY, Config, load, parse
from tocsin.config.sections import (
    FeaturesConfig,
    KeepConfig,
    LabelsConfig,
    LimitsConfig,
    LoggingConfig,
    PreparationConfig,
    PrivacyConfig,
    RegistryConfig,
    SplitConfig,
)

__all__ = [
    "ANY",
    "AlertsConfig",
    "Config",
    "FeaturesConfig",
    "KeepConfig",
    "LabelsConfig",
    "LimitsConfig",
    "LoggingConfig",
    "PreparationConfig",
    "PrivacyConfig",
    "Rate",
    "RegistryConfig",
    "ServerConfig",
    "SplitConfig",
    "StreamConfig",
    "load",
    "parse",
]
