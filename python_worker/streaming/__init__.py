"""What flows during a call: items out, elements of arguments in."""
