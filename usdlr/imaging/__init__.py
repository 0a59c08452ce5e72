"""Pixels in millimetres: images, masks, rings and crops on one explicit grid."""
