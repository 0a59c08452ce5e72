"""Lightning modules, callbacks and loggers."""
