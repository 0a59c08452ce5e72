"""Exchange with a picture archive: what a reader saw becomes DICOM objects, and studies become a folder to ingest."""
