"""The review page's web server: routes that read the store, forms that write to it, and nothing that decides."""
