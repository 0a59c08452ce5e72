"""Files of any format become frames: pixels in a stated colour order, with the calibration that the file carries."""
