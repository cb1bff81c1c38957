"""From declared rules to the plan that runs."""
