"""What a change of the rules does: outlines of plans, and their differences."""
