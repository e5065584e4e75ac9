"""Everything in here is made by `python -m python_worker.gen`: see that package."""
