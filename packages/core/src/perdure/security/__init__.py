"""Keys, and what is sealed with them."""

from perdure.security._files import write_key_file
from perdure.security._key import EncryptedKey
from perdure.security._keyring import Keyring

__all__ = ["EncryptedKey", "Keyring", "write_key_file"]
