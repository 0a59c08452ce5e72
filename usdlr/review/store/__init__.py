"""What the review page keeps: reading lists, an audit log that only grows, accounts, exports and backups.

One database, SQLite or PostgreSQL. Every clinical state is told by the audit log; the tables beside it only make lists
quick, and :func:`usdlr.review.store.checking.check` compares them with it.
"""
