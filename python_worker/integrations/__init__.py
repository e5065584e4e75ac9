"""Systems that run on the engines: each in a folder of its own, on an optional library."""
