"""Tomorrow: changed files, the ledger of facts, what is superseded or taken back."""
