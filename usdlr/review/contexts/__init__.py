"""What each page shows: one documented frozen dataclass per page, nothing that the template does not use."""
