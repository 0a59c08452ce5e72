"""A frozen bundle at a new centre: the plan, the shift, the verdict, what to adapt, what to share."""
