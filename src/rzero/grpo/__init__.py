"""Group-relative policy optimisation: from rewarded groups to a better policy."""
