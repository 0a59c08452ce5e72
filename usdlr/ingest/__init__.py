"""A centre's export becomes ``cases.parquet``, canonical images and ``exclusions.csv``."""
