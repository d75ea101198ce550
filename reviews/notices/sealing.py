"""Secrets of channels at rest: sealed with a key made from SECRET_KEY, opened only to send. They are never shown or logged again.

Fernet (AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec), its key by HKDF-SHA256 for this purpose alone. With another key
nothing opens: the channel then has to be given its secret anew.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class CannotOpen(Exception):
    """It was sealed with another SECRET_KEY, or was altered."""


def seal(text: str) -> str:
    return _box().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Raises CannotOpen."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise CannotOpen("sealed with another SECRET_KEY") from error


def _box() -> Fernet:
    key = HKDF(hashes.SHA256(), 32, salt=None, info=b"immune notice channels").derive(settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(key))
