"""The pure core: values in, values out. `pipeline.py` names the steps in order."""
