"""Tocsin beside what people would take instead, on the same rows: named sets of the field, or a user's own folder."""
