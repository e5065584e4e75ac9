"""What the fake engine needs in the place of vLLM's classes."""
