"""Both ports over TCP: `TcpTransport` and `TcpMembership`."""

from perdure_replication.tcp._membership import TcpMembership
from perdure_replication.tcp._metrics import TcpMetrics
from perdure_replication.tcp._settings import TcpSettings
from perdure_replication.tcp._tls import Certificates
from perdure_replication.tcp._transport import TcpTransport

__all__ = ["Certificates", "TcpMembership", "TcpMetrics", "TcpSettings", "TcpTransport"]
