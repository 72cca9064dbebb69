"""Embedding of tables and of many files, by this process or by the workers of an engine."""
