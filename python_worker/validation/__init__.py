"""Arguments checked before an engine sees them."""
