"""Reporting checklists, answered from a study's own tables or handed to the author."""
