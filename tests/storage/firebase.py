"""A bucket as the library of Firebase sees it, an independent judge of what lies there."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import firebase_admin
from firebase_admin import storage
from google.auth.credentials import AnonymousCredentials


class _Nobody(firebase_admin.credentials.Base):  # type: ignore[misc]  # firebase-admin has no types
    def get_credential(self) -> AnonymousCredentials:
        return AnonymousCredentials()


def firebase_bucket(url: str) -> Any:
    """The bucket of a `gs://` URL."""
    app = firebase_admin.initialize_app(_Nobody(), name=uuid4().hex, options={"projectId": "tocsin"})
    return storage.bucket(url.removeprefix("gs://").partition("/")[0], app=app)
