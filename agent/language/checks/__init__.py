"""What takes more than one value to evaluate: one module for each idea.

In: the declaration with its shapes. Out: problems noted in it; nothing is returned or raised.
"""
