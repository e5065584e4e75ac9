"""Says what another version of vLLM changes for the bridge."""
