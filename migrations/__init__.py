"""Alembic migrations, written by hand in SQL; `vascodb init` runs them."""
