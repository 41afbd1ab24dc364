"""The private database: find PostgreSQL and Q3C, make a cluster under the home folder, start and stop it."""

from vascodb.cluster.install import PostgresInstall, find_postgres
from vascodb.cluster.private import DATABASE, SUPERUSER, Cluster

__all__ = ["DATABASE", "SUPERUSER", "Cluster", "PostgresInstall", "find_postgres"]
