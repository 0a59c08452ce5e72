"""The native engine: PyRadiomics' values in two dimensions, without a compiler."""
