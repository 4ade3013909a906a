"""The REST server of a running service.

    bytes ─> protocol (headers) ─> door (who, how much, how fast) ─┬─> hot: score, events
                                                                   └─> api: alerts, models, status (OpenAPI)

What either of them does with the service goes through `site`.
"""
