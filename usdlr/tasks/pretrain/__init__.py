"""Pre-training of an image branch on ultrasound without labels."""
