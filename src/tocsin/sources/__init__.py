"""Where telemetry comes from. One file per protocol or format; the file name is the `type:` in the config."""
