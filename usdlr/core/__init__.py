"""The ground floor: errors, units, vocabulary, tables, provenance and resume. Imports nothing above it."""
