"""The clinicians' web page: read, question, decide; every action on a record that nobody can rewrite."""
