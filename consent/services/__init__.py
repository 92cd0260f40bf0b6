"""Every write to consent, one module per noun; ``doors`` is what lets plaintext out."""
