"""Sealing: how what is stored is kept from those who have the store, and what they change is noticed."""

from perdure.security._anchor import Anchor, AnchoredHead
from perdure.security._chain import ORIGIN, Links, link_of
from perdure.security._files import write_key_file
from perdure.security._key import EncryptedKey
from perdure.security._keyring import Keyring
from perdure.security._layout import MOST_OVERHEAD, is_chained, is_sealed
from perdure.security._names import is_sealed_whole, sealing_as_stored
from perdure.security._seal import Seal
from perdure.security._sealing import Sealing, sealing_of
from perdure.security._suites import SuiteName
from perdure.security._vault import Vault

__all__ = [
    "MOST_OVERHEAD",
    "ORIGIN",
    "Anchor",
    "AnchoredHead",
    "EncryptedKey",
    "Keyring",
    "Links",
    "Seal",
    "Sealing",
    "SuiteName",
    "Vault",
    "is_chained",
    "is_sealed",
    "is_sealed_whole",
    "link_of",
    "sealing_as_stored",
    "sealing_of",
    "write_key_file",
]
