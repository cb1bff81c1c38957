"""Checks that need more than one value: a module per section or topic.

In: the declaration with its shapes. Out: problems, added to the declaration.
"""
