"""Keys: bls (sign, verify), tbls (split, recover), secp256k1, keystore (EIP-2335), locks."""
