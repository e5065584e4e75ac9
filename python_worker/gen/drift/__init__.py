"""Says what another version of vLLM changes for the bridge.

==================  =====================================================================
``__main__``        the command line: which two versions
``package``         source text in a folder or a wheel: modules, classes, imports
``surface``         what is compared, and how it is read from a manifest
``surface_source``  the same, read from source text, which is not imported
``surface_diff``    what was added, removed and changed
``token_sources``   the sources that the direct token path relies on, class by class
==================  =====================================================================
"""
