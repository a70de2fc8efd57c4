"""Forgetting a subject without a system."""

from __future__ import annotations

from perdure.abc import Backend
from perdure.security import Keyring, Sealing, Vault, sealing_of
from perdure.upkeep._opened import opened


async def forget(store: str | Backend, sealing: Sealing | Keyring, subject: str, *, dry_run: bool = False) -> bool:
    """Destroy the key of a subject durably, as `ActorSystem.forget` does; return False if there was none to destroy.

    With `dry_run` nothing is destroyed, and the result is whether there is a key.

    Raises `SealedStore`, `SealError` when the sealing is not that of the store, `StoreError`.
    """
    async with opened(store) as backend:
        vault = Vault(backend, sealing_of(sealing))
        await vault.open()
        if dry_run:
            return await vault.knows(subject)
        return await vault.forget(subject)
