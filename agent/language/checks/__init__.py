"""What is judged on more than one value: one module for each idea."""
