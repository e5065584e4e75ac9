"""From a request to a method of an object, and from its result to replies."""
