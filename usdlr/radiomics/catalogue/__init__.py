"""Every feature in plain words, with its unit, its invariances and its IBSI code."""
