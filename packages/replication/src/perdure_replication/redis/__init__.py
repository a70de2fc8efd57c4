"""Replicated state over a Redis or Valkey server: `pip install 'perdure-replication[redis]'`."""

from perdure_replication.redis._membership import RedisMembership
from perdure_replication.redis._transport import RedisTransport

__all__ = ["RedisMembership", "RedisTransport"]
