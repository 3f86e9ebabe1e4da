"""Slashing protection, pure: rules (may I sign this block?) and interchange (EIP-3076 JSON)."""
