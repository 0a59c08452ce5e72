"""Drawing and writing: a study's figures and its page for clinicians. Numbers come from below, none is made here."""
