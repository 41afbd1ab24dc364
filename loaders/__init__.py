"""Loaders: reference catalogues from files and outside sources into ref.*."""
